import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { publicPrice } from '../../core/prices.ts';
import type { EdgeContext } from '../http/context.ts';
import { readQuery } from './query.ts';

const query = z.strictObject({
  provider: z.string().max(200).optional(),
  model: z.string().max(200).optional(),
});

const expectations = { provider: 'must be the name of a provider', model: 'must be a part of a model’s name' };

/** `GET /api/prices?provider=&model=`: what models cost, and who says so. `model` is a part of their names. */
export async function listPrices({ prices }: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const { provider, model } = readQuery(query, expectations, request);
  const shown = prices().filter(
    (price) =>
      (provider === undefined || price.provider === provider) && (model === undefined || price.model.includes(model)),
  );
  return { prices: shown.map((price) => publicPrice(price)) };
}
