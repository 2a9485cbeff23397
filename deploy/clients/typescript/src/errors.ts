// The errors of the library. The server answers a refused request with problem details (RFC 9457): these are
// `ProblemError`, with a subclass for each class of status and the stable code in `code`.

import type { Blame, Code, Fault, Job } from "./models.js";

/** An error of this library. */
export class LectorError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The server could not be reached, or the connection broke before the response. */
export class ConnectionFailed extends LectorError {}

/** A stream ended before its end. The pages that arrived before are valid. */
export class StreamInterrupted extends LectorError {}

/** The response is not one of this API: the address may be that of another server, or of an older one. */
export class ResponseInvalid extends LectorError {}

/** A document failed as a whole within a response of success. */
export class DocumentFailed extends LectorError {
  readonly code: Code;

  constructor(
    readonly fault: Fault,
    readonly documentName?: string,
  ) {
    super(`${documentName ? `${documentName}: ` : ""}${fault.message} (${fault.code})`);
    this.code = fault.code;
  }
}

/** A job ended without success. */
export class JobFailed extends LectorError {
  /** The problem code of the first document that failed. */
  readonly code: string | undefined;

  constructor(readonly job: Job) {
    super(`job ${job.id} is ${job.state}${job.error ? `: ${job.error.message} (${job.error.code})` : ""}`);
    this.code = job.error?.code;
  }
}

/** A job was not finished within the time that the caller waits. It goes on. */
export class WaitTimeout extends LectorError {
  constructor(readonly job: Job) {
    super(`job ${job.id} is still ${job.state}: wait again, or watch it`);
  }
}

/** What a response without success says. */
export interface ProblemInit {
  status: number;
  /** Stable code for programs; `http_STATUS` if the response is not the server's. */
  code: Code;
  /** What failed, the limit and the value if there is one, and what to do next. */
  detail: string;
  title?: string;
  /** The party that can correct it. */
  blame?: Blame;
  /** Id of the request, for the operator of the server. */
  requestId?: string;
  /** Seconds after which the server expects that a repetition succeeds. */
  retryAfterS?: number;
}

/** The server refused a request, or failed. */
export class ProblemError extends LectorError implements ProblemInit {
  readonly status: number;
  readonly code: Code;
  readonly detail: string;
  readonly title?: string;
  readonly blame?: Blame;
  readonly requestId?: string;
  readonly retryAfterS?: number;

  constructor(init: ProblemInit) {
    super(`${init.detail} (${init.code})`);
    this.status = init.status;
    this.code = init.code;
    this.detail = init.detail;
    if (init.title !== undefined) this.title = init.title;
    if (init.blame !== undefined) this.blame = init.blame;
    if (init.requestId !== undefined) this.requestId = init.requestId;
    if (init.retryAfterS !== undefined) this.retryAfterS = init.retryAfterS;
  }
}

/** The request is not valid (400, 405, 406, 408, 415): an option, the form, or the type of the document. */
export class RequestInvalid extends ProblemError {}
/** The key is missing, unknown, expired or revoked (401). */
export class AuthenticationFailed extends ProblemError {}
/** The key may not do this (403). */
export class PermissionDenied extends ProblemError {}
/** The deployment, job, page or tenant does not exist, or belongs to another tenant (404). */
export class NotFound extends ProblemError {}
/** The state of the object does not allow it (409, 412): for example, the job is not finished. */
export class Conflict extends ProblemError {}
/** The document exceeds a limit (413). */
export class TooLarge extends ProblemError {}
/** The document or its pages cannot be read (422). */
export class DocumentUnreadable extends ProblemError {}
/** The tenant has reached a limit (429). */
export class RateLimited extends ProblemError {}
/** The server is overloaded, starting or stopping (503). */
export class Unavailable extends ProblemError {}
/** The request took longer than its timeout (504). */
export class DeadlineExceeded extends ProblemError {}
/** The server or a proxy before it failed (other 5xx). */
export class ServerFailed extends ProblemError {}

const BY_STATUS: Record<number, new (init: ProblemInit) => ProblemError> = {
  401: AuthenticationFailed,
  403: PermissionDenied,
  404: NotFound,
  409: Conflict,
  412: Conflict,
  413: TooLarge,
  422: DocumentUnreadable,
  429: RateLimited,
  503: Unavailable,
  504: DeadlineExceeded,
};

/** Returns the error of a response without success. */
export function problemOf(status: number, headers: Headers, body: string): ProblemError {
  const problem = objectOf(body);
  const text = (name: string) => (typeof problem[name] === "string" ? (problem[name] as string) : undefined);
  const init: ProblemInit = {
    status,
    code: text("code") ?? `http_${status}`,
    detail: text("detail") ?? text("title") ?? `the server answered with status ${status}`,
  };
  const title = text("title");
  if (title !== undefined) init.title = title;
  const blame = text("blame") as Blame | undefined;
  if (blame !== undefined) init.blame = blame;
  const requestId = headers.get("x-request-id");
  if (requestId !== null) init.requestId = requestId;
  const retryAfterS = retryAfter(headers.get("retry-after"));
  if (retryAfterS !== undefined) init.retryAfterS = retryAfterS;
  const Kind = BY_STATUS[status] ?? (status >= 500 ? ServerFailed : RequestInvalid);
  return new Kind(init);
}

function objectOf(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Returns the seconds of a header `Retry-After`: a number, or a date. */
export function retryAfter(text: string | null, nowMs = Date.now()): number | undefined {
  if (!text) return undefined;
  if (/^\s*\d+\s*$/.test(text)) return Number(text);
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, (at - nowMs) / 1000);
}
