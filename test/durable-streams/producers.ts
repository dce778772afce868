/** Who may append, as the Durable Streams protocol has it: producers that number their appends in epochs, and `Stream-Seq`. */

/** An append of a producer; undefined without its headers, `invalid` if they do not fit. */
export function readProducer(headers: Headers): ProducerAppend | undefined | 'invalid' {
  const [id, epoch, seq] = ['producer-id', 'producer-epoch', 'producer-seq'].map((name) => headers.get(name));
  if (id === null && epoch === null && seq === null) return undefined;
  if (!id || !INTEGER.test(epoch ?? '') || !INTEGER.test(seq ?? '')) return 'invalid';
  return { id, epoch: Number(epoch), seq: Number(seq) };
}

const INTEGER = /^\d{1,15}$/;

export interface ProducerAppend {
  id: string;
  epoch: number;
  seq: number;
}

export interface Verdict {
  /** Undefined: the append is the next one. */
  status?: 204 | 400 | 403 | 409;
  headers: Record<string, string>;
}

export class Producers {
  readonly #last = new Map<string, { epoch: number; seq: number }>();
  #streamSeq: string | undefined;

  /** Changes nothing: an append may still fail. */
  check(append: ProducerAppend): Verdict {
    const { id, epoch, seq } = append;
    const last = this.#last.get(id) ?? { epoch, seq: -1 };
    if (epoch < last.epoch) return { status: 403, headers: { 'producer-epoch': String(last.epoch) } };
    if (epoch > last.epoch) return seq === 0 ? { headers: toHeaders(append) } : { status: 400, headers: {} };
    if (seq <= last.seq) return { status: 204, headers: toHeaders(last) };
    if (seq === last.seq + 1) return { headers: toHeaders(append) };
    const gap = { 'producer-expected-seq': String(last.seq + 1), 'producer-received-seq': String(seq) };
    return { status: 409, headers: gap };
  }

  /** Texts that grow, byte by byte. */
  isNextStreamSeq(seq: string | null): boolean {
    return seq === null || this.#streamSeq === undefined || seq > this.#streamSeq;
  }

  accept({ producer, streamSeq }: { producer: ProducerAppend | undefined; streamSeq: string | null }): void {
    if (producer !== undefined) this.#last.set(producer.id, producer);
    this.#streamSeq = streamSeq ?? this.#streamSeq;
  }
}

function toHeaders({ epoch, seq }: { epoch: number; seq: number }): Record<string, string> {
  return { 'producer-epoch': String(epoch), 'producer-seq': String(seq) };
}
