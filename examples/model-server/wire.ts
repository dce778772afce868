/** What an API's dialect must provide; the server around it (log, faults, pacing) is the same for each. */
import type { History } from './conversation.ts';
import type { OutputItem, RequestLog } from './request-log.ts';

/** A request body, parsed. */
export type Body = Readonly<Record<string, unknown>>;

/** One server-sent event. Paced events carry a piece of the answer and count as a token. */
export interface StreamEvent {
  event: string;
  data: Readonly<Record<string, unknown>>;
  paced?: boolean;
}

/** A response, decided in full before its first byte is sent. `text` and `arguments` come in the pieces that are streamed. */
export interface PlannedResponse {
  token: string;
  model: string;
  createdAt: number;
  reasoning: string | undefined;
  text: readonly string[];
  toolCalls: readonly { callId: string; name: string; arguments: readonly string[] }[];
  /** It stops at the token limit. */
  incomplete: boolean;
  inputTokens: number;
}

/** A refused request: an HTTP status and an error in the API's form. */
export class ApiError extends Error {
  readonly status: number;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;

  constructor(
    message: string,
    details: { status?: number; type?: string; param?: string | null; code?: string | null } = {},
  ) {
    super(message);
    this.name = 'ApiError';
    this.status = details.status ?? 400;
    this.type = details.type ?? 'invalid_request_error';
    this.param = details.param ?? null;
    this.code = details.code ?? null;
  }
}

/** One API: reads its requests and writes its responses. */
export interface Wire {
  /** Path below the origin, e.g. `/v1/responses`. */
  path: string;
  /** Prefix of call ids, e.g. `call_`. */
  callPrefix: string;
  /** Error type and message of a fault, by status. */
  failures: Readonly<Record<429 | 500, { type: string; code: string | null; message: string }>>;
  /** Validates the request as the API does. Throws ApiError. */
  read(body: Body, log: RequestLog): History;
  /** Token limit that the request sets. */
  tokenLimit(body: Body): number | undefined;
  events(response: PlannedResponse): StreamEvent[];
  whole(response: PlannedResponse): OutputItem;
  /** The items of the response, as in `whole`. */
  output(response: PlannedResponse): OutputItem[];
  errorBody(error: ApiError): OutputItem;
  /** The event that ends a stream on which the model failed, after `sequence` other events. */
  errorEvent(error: ApiError, sequence: number): StreamEvent;
}
