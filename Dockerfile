FROM node:26-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
COPY scripts/no-native scripts/no-native
# This image is the runtime already: the pinned one, which an install script fetches, is not needed.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.types.json ./
COPY scripts scripts
COPY src src
RUN npm run build

FROM node:26-slim
# Which of the container's ports others reach is said where it is run, and nobody has a token who wasn't given one: so the
# secret that Mizan makes itself, in the volume, is enough. docs/decisions/0031
ENV NODE_ENV=production MIZAN_DATA=/data MIZAN_GENERATED_SECRET=anywhere
WORKDIR /app
COPY package.json LICENSE ./
COPY bin bin
COPY examples examples
COPY --from=build /app/dist dist
RUN ln -s /app/bin/mizan.js /usr/local/bin/mizan && install -d -o node -g node /data
USER node
VOLUME /data
EXPOSE 8000 9000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8000/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "/app/bin/mizan.js", "start", "--host", "0.0.0.0"]
