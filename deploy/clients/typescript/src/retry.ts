// When a request is repeated, and after which time.

import type { ProblemError } from "./errors.js";

/** How requests are repeated that the server refused for its load, or that did not reach it. */
export interface Retry {
  /** Most attempts, the first one included. */
  attempts: number;
  /** Longest wait before the second attempt, in seconds; it doubles with each further one. */
  initialS: number;
  /** Longest wait that this library chooses, in seconds. */
  longestS: number;
  /** Longest `Retry-After` that is waited for. A longer one, such as that of a daily quota, is an error at once. */
  retryAfterMaxS: number;
}

export const RETRY: Readonly<Retry> = { attempts: 5, initialS: 0.5, longestS: 30, retryAfterMaxS: 120 };

/** Every request is sent once. */
export const NO_RETRY: Readonly<Retry> = { ...RETRY, attempts: 1 };

// 502 and 504 come from proxies as well. The server's own have a problem code, and a repetition would take as long.
const OF_PROXIES: Record<number, string> = { 502: "http_502", 504: "http_504" };

/** Returns the seconds before the attempt after number `attempt`, from 1; `undefined`: there is none. */
export function waitS(retry: Retry, attempt: number, retryAfterS?: number): number | undefined {
  if (attempt >= retry.attempts) return undefined;
  // Random, so that clients that were refused together do not return together.
  if (retryAfterS !== undefined) {
    if (retryAfterS > retry.retryAfterMaxS) return undefined;
    return retryAfterS + Math.random() * Math.min(1, retryAfterS / 10);
  }
  return Math.random() * Math.min(retry.longestS, retry.initialS * 2 ** (attempt - 1));
}

/** Returns the seconds before the next attempt after a problem; `undefined`: a repetition would not help. */
export function waitAfter(retry: Retry, attempt: number, problem: ProblemError): number | undefined {
  const refused = problem.status === 429 || problem.status === 503;
  return refused || OF_PROXIES[problem.status] === problem.code
    ? waitS(retry, attempt, problem.retryAfterS)
    : undefined;
}
