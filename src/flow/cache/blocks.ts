/** Of each block, in bytes: what most answers waste of their last one is little beside them. */
const blockSize = 256;

/** Blocks that are asked of the machine at once: a mebibyte. */
const perSegment = 4096;

/** In the place of a block's number: there is none. */
const none = -1;

/** Blocks that lie side by side. */
interface Segment {
  readonly bytes: Buffer;
  /** Of each block: the one that goes on where it ends. */
  readonly next: Int32Array;
}

/**
 * Memory outside JavaScript's heap, in blocks of one size. What is given back is at once free for others: no garbage
 * collector has to find it, and no hole is too small for anything. It grows by segments as it is filled, and shrinks
 * only when nothing is left in it.
 */
export class Blocks {
  readonly #segments: Segment[] = [];
  #free = none;
  #used = 0;

  /** What so many bytes take, with what says where they go on. */
  static spaceOf(length: number): number {
    return blocksOf(length) * (blockSize + Int32Array.BYTES_PER_ELEMENT);
  }

  /** What it has of the machine, in bytes. */
  get bytes(): number {
    return this.#segments.length * perSegment * (blockSize + Int32Array.BYTES_PER_ELEMENT);
  }

  /**
   * Copies pieces to blocks of their own, one after the other.
   * @returns The first block, to be given to the other methods.
   */
  write(pieces: readonly Buffer[]): number {
    const first = this.#take();
    let block = first;
    let filled = 0;
    for (const piece of pieces) {
      for (let at = 0; at < piece.length;) {
        if (filled === blockSize) {
          block = this.#after(block);
          filled = 0;
        }
        const length = Math.min(blockSize - filled, piece.length - at);
        const start = (block % perSegment) * blockSize + filled;
        piece.copy(this.#segmentOf(block).bytes, start, at, at + length);
        at += length;
        filled += length;
      }
    }
    return first;
  }

  /** A copy of the first bytes of what begins with a block. @param length At most as many as were written. */
  read(first: number, length: number): Buffer {
    const copy = Buffer.allocUnsafe(length);
    let block = first;
    for (let at = 0; at < length; at += blockSize) {
      const { bytes, next } = this.#segmentOf(block);
      const start = (block % perSegment) * blockSize;
      bytes.copy(copy, at, start, start + Math.min(blockSize, length - at));
      block = next[block % perSegment] ?? none;
    }
    return copy;
  }

  /** What was written is not needed any more. */
  free(first: number): void {
    let block = first;
    while (block !== none) {
      const { next } = this.#segmentOf(block);
      const following = next[block % perSegment] ?? none;
      next[block % perSegment] = this.#free;
      this.#free = block;
      this.#used--;
      block = following;
    }
    if (this.#used > 0) return;
    this.#segments.length = 0;
    this.#free = none;
  }

  #take(): number {
    if (this.#free === none) this.#grow();
    const block = this.#free;
    const { next } = this.#segmentOf(block);
    this.#free = next[block % perSegment] ?? none;
    next[block % perSegment] = none;
    this.#used++;
    return block;
  }

  /** A block that another goes on with. */
  #after(block: number): number {
    const taken = this.#take();
    this.#segmentOf(block).next[block % perSegment] = taken;
    return taken;
  }

  #grow(): void {
    const first = this.#segments.length * perSegment;
    const next = new Int32Array(perSegment);
    for (let i = 0; i < perSegment; i++) next[i] = i + 1 < perSegment ? first + i + 1 : none;
    this.#segments.push({ bytes: Buffer.allocUnsafeSlow(perSegment * blockSize), next });
    this.#free = first;
  }

  #segmentOf(block: number): Segment {
    const segment = this.#segments[Math.floor(block / perSegment)];
    if (segment === undefined) throw new RangeError(`No block has the number ${block}.`);
    return segment;
  }
}

/** So many blocks hold so many bytes; nothing takes one too. */
function blocksOf(length: number): number {
  return Math.max(1, Math.ceil(length / blockSize));
}
