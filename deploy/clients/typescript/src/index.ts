// A client of the OCR server Lector.

export * from "./client.js";
export {
  AuthenticationFailed,
  Conflict,
  ConnectionFailed,
  DeadlineExceeded,
  DocumentFailed,
  DocumentUnreadable,
  JobFailed,
  LectorError,
  NotFound,
  PermissionDenied,
  ProblemError,
  RateLimited,
  RequestInvalid,
  ResponseInvalid,
  ServerFailed,
  StreamInterrupted,
  TooLarge,
  Unavailable,
  WaitTimeout,
} from "./errors.js";
export type * from "./models.js";
export { NO_RETRY, type Retry } from "./retry.js";
