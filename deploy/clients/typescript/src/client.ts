// The client.

import {
  ConnectionFailed,
  DocumentFailed,
  JobFailed,
  LectorError,
  ResponseInvalid,
  StreamInterrupted,
  WaitTimeout,
  problemOf,
} from "./errors.js";
import {
  BATCH_OPTIONS,
  JOB_OPTIONS,
  OCR_OPTIONS,
  type BatchOptions,
  type Deployment,
  type DeploymentList,
  type Document,
  type DocumentErrorEvent,
  type Event,
  type Format,
  type Job,
  type JobDeletion,
  type JobEvent,
  type JobList,
  type JobOptions,
  type JobState,
  type OcrOptions,
  type Page,
} from "./models.js";
import { RETRY, waitAfter, waitS, type Retry } from "./retry.js";
import { eventOf, isAbort, lines, reasonOf, serverSentEvents } from "./stream.js";

/** A document: its bytes, or its bytes with a name. `file` of `lector-client/node` opens one on the disk. */
export type Source = Blob | ArrayBuffer | Uint8Array | { name: string; data: Blob | ArrayBuffer | Uint8Array };

/** What every call takes. */
export interface CallOptions {
  /** Aborts the call. */
  signal?: AbortSignal;
}

export interface ClientOptions {
  /** API key. */
  key?: string;
  /** Tenant for which an administrator's key acts. */
  tenant?: string;
  /** How requests are repeated. */
  retry?: Partial<Retry>;
  /** The function that sends requests, in place of the global one. */
  fetch?: typeof fetch;
  /** Waits, in place of a timer; for tests. */
  sleep?: (seconds: number, signal?: AbortSignal) => Promise<void>;
}

export interface SubmitOptions extends JobOptions, CallOptions {
  /** The formats that will be requested: pages are read with what they need. */
  formats?: Format[];
  /** A second submission with the same key returns the first job; a random one makes repetitions by this library safe. */
  idempotency_key?: string;
}

export interface ResultOptions extends CallOptions {
  /** Number of the document in the job, from 0; may be left out for a job of one. */
  document?: number;
  /** Whether the other pages are returned if some failed in a format that cannot report failures. */
  partial?: boolean;
}

interface Call extends CallOptions {
  method: string;
  path: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  files?: Source[];
  /** Whether a repetition has no effect beyond that of one request. */
  repeatable?: boolean;
}

// Longest wait of one request for a job, in seconds; proxies close connections that are silent for a minute.
const WAIT_S = 50;
// Pause after a wait that the server ended early, for example because it stops.
const PAUSE_S = 1;
const FINISHED = new Set(["succeeded", "failed", "canceled"]);

/** A document in an output format, whose body is read once: with `text()`, `bytes()` or `stream`. */
export class Export {
  constructor(private readonly response: Response) {}

  get contentType(): string {
    return this.response.headers.get("content-type") ?? "";
  }

  /** Pages that failed, and are missing; 0 without `partial`. */
  get pagesFailed(): number {
    return Number(this.response.headers.get("x-lector-pages-failed") ?? 0);
  }

  /** The output as it arrives. */
  get stream(): ReadableStream<Uint8Array> {
    return this.response.body ?? new Blob([]).stream();
  }

  async text(): Promise<string> {
    return await whole(() => this.response.text());
  }

  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await whole(() => this.response.arrayBuffer()));
  }
}

/** A Lector server. */
export class Client {
  readonly server: string;
  readonly jobs: Jobs;
  readonly deployments: Deployments;
  readonly #headers: Record<string, string> = {};
  readonly #retry: Retry;
  readonly #fetch: typeof fetch;
  readonly #sleep: (seconds: number, signal?: AbortSignal) => Promise<void>;

  constructor(server: string, options: ClientOptions = {}) {
    if (!/^https?:\/\//.test(server)) {
      throw new TypeError(`${server} is not the address of a server: write it like http://127.0.0.1:8080`);
    }
    this.server = server.replace(/\/+$/, "");
    if (options.key) this.#headers["authorization"] = `Bearer ${options.key}`;
    if (options.tenant) this.#headers["x-lector-tenant"] = options.tenant;
    this.#retry = { ...RETRY, ...options.retry };
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    this.#sleep = options.sleep ?? sleep;
    this.jobs = new Jobs(this);
    this.deployments = new Deployments(this);
  }

  /** Reads a document. A page that failed is in its place with `error`. */
  async ocr(file: Source, options: OcrOptions & CallOptions = {}): Promise<Document> {
    const call: Call = { method: "POST", path: "/api/v1/ocr", query: { format: "json" }, files: [file] };
    const document = await this.json<Document>(placed(call, options, OCR_OPTIONS));
    if (!Array.isArray(document?.pages)) throw otherForm();
    return document;
  }

  /**
   * Yields the pages of a document as they are read, in the order in which they finish unless `order` is `page`. A page
   * that failed has `error`. Throws `DocumentFailed` if the document cannot be read at all.
   */
  async *pages(file: Source, options: BatchOptions & CallOptions = {}): AsyncGenerator<Page, void, undefined> {
    for await (const event of this.batch([file], options)) {
      if (event.event === "page" || event.event === "page_error") {
        yield event;
      } else if (event.event === "document_error") {
        const failed: DocumentErrorEvent = event;
        throw new DocumentFailed(failed.error, failed.name);
      }
    }
  }

  /** Reads several documents and yields the events as they arrive; `document` is the index of the file. */
  async *batch(files: Source[], options: BatchOptions & CallOptions = {}): AsyncGenerator<Event, void, undefined> {
    const call: Call = {
      method: "POST",
      path: "/api/v1/ocr/batch",
      headers: { accept: "application/x-ndjson" },
      files,
    };
    const response = await this.send(placed(call, options, BATCH_OPTIONS));
    for await (const line of lines(response)) {
      if (!line.trim()) continue; // keeps the connection alive
      const event = eventOf(line) as unknown as Event;
      yield event;
      if (event.event === "end") return;
    }
    throw new StreamInterrupted("the response ended before the end of the batch: send the document again");
  }

  /**
   * Reads a document and returns it in an output format, such as `markdown` or a searchable `pdf`. Pages that fail are an
   * error, except in formats that report them, and with `partial`.
   */
  async export(file: Source, format: Format, options: OcrOptions & CallOptions = {}): Promise<Export> {
    const call: Call = { method: "POST", path: "/api/v1/ocr", query: { format }, files: [file] };
    return new Export(await this.send(placed(call, options, OCR_OPTIONS)));
  }

  /** Returns a document as Markdown. */
  async markdown(file: Source, options: OcrOptions & CallOptions = {}): Promise<string> {
    return await (await this.export(file, "markdown", options)).text();
  }

  /** Returns the text of a document. */
  async text(file: Source, options: OcrOptions & CallOptions = {}): Promise<string> {
    return await (await this.export(file, "text", options)).text();
  }

  /** Sends a request and returns the JSON of the response; for the parts of the API without a method of their own. */
  async json<T>(call: Call): Promise<T> {
    const response = await this.send({ ...call, headers: { accept: "application/json", ...call.headers } });
    const text = await whole(() => response.text());
    if (!text) return undefined as T;
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      const message = `${this.server} answered ${call.method} ${call.path} with a body that is not JSON`;
      throw new ResponseInvalid(message, { cause: error });
    }
  }

  /** Sends a request, again where that may help; returns the response of success. */
  async send(call: Call): Promise<Response> {
    const query = new URLSearchParams(call.query).toString();
    const url = `${this.server}${call.path}${query ? `?${query}` : ""}`;
    if (call.files?.length === 0) throw new TypeError("there is no document");
    for (let attempt = 1; ; attempt += 1) {
      const init: RequestInit = { method: call.method, headers: { ...this.#headers, ...call.headers } };
      if (call.files) init.body = form(call.files);
      if (call.signal) init.signal = call.signal;
      let wait: number | undefined;
      try {
        const response = await this.#fetch(url, init);
        if (response.ok) return response;
        const problem = problemOf(response.status, response.headers, await response.text());
        // The server refuses before it does anything, so a refused request can always be repeated.
        wait = waitAfter(this.#retry, attempt, problem);
        if (wait === undefined) throw problem;
      } catch (error) {
        if (error instanceof LectorError || isAbort(error)) throw error;
        wait = (call.repeatable ?? true) ? waitS(this.#retry, attempt) : undefined;
        if (wait === undefined) {
          throw new ConnectionFailed(`asking ${this.server}: ${reasonOf(error)}`, { cause: error });
        }
      }
      await this.#sleep(wait, call.signal);
    }
  }

  /** Waits before attempt `attempt` + 1; returns whether there is one. */
  async pause(attempt: number, signal?: AbortSignal): Promise<boolean> {
    const wait = waitS(this.#retry, attempt);
    if (wait !== undefined) await this.#sleep(wait, signal);
    return wait !== undefined;
  }

  /** Waits some seconds. */
  async wait(seconds: number, signal?: AbortSignal): Promise<void> {
    await this.#sleep(seconds, signal);
  }
}

/** Jobs: documents that are read later, and survive a restart of the server. */
export class Jobs {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Submits documents as one job. It is durable when this returns. */
  async submit(files: Source[], options: SubmitOptions = {}): Promise<Job> {
    const { formats, idempotency_key, ...rest } = options;
    const call: Call = {
      method: "POST",
      path: "/api/v1/jobs",
      query: formats?.length ? { formats: formats.join(",") } : {},
      headers: { "idempotency-key": idempotency_key ?? crypto.randomUUID() },
      files,
    };
    return await this.#client.json<Job>(placed(call, rest, JOB_OPTIONS));
  }

  /** Returns a job. */
  async get(job: string, options: CallOptions = {}): Promise<Job> {
    return await this.#client.json<Job>({ method: "GET", path: pathOf(job), ...options });
  }

  /** Yields the jobs of the tenant, newest first. */
  async *list(options: { state?: JobState } & CallOptions = {}): AsyncGenerator<Job, void, undefined> {
    const { state, ...rest } = options;
    let query: Record<string, string> = state ? { state } : {};
    while (true) {
      const page = await this.#client.json<JobList>({ method: "GET", path: "/api/v1/jobs", query, ...rest });
      yield* page.jobs;
      if (!page.next) return;
      query = { ...query, cursor: page.next };
    }
  }

  /**
   * Waits for the end of a job and returns it. Throws `JobFailed` if it failed or was canceled, and `WaitTimeout` after
   * `timeoutS`. Pages that failed do not fail a job: look at `pages.failed`.
   */
  async wait(job: string, options: { timeoutS?: number } & CallOptions = {}): Promise<Job> {
    const { timeoutS, ...rest } = options;
    const end = timeoutS === undefined ? undefined : Date.now() + timeoutS * 1000;
    while (true) {
      const left = end === undefined ? WAIT_S : (end - Date.now()) / 1000;
      const headers = { prefer: `wait=${Math.max(0, Math.round(Math.min(WAIT_S, left)))}` };
      const found = await this.#client.json<Job>({ method: "GET", path: pathOf(job), headers, ...rest });
      if (found.state === "succeeded") return found;
      if (FINISHED.has(found.state)) throw new JobFailed(found);
      if (end !== undefined && Date.now() >= end) throw new WaitTimeout(found);
      await this.#client.wait(PAUSE_S, rest.signal);
    }
  }

  /**
   * Yields the events of a job to its end; begins after the event with number `after`. A lost connection, or a server that
   * restarts, is resumed after the last event: none is lost, and none comes twice.
   */
  async *watch(job: string, options: { after?: number } & CallOptions = {}): AsyncGenerator<JobEvent, void, undefined> {
    let after = options.after ?? 0;
    let attempt = 0;
    while (true) {
      const before = after;
      let cause: unknown;
      try {
        const headers: Record<string, string> = { accept: "text/event-stream" };
        if (after > 0) headers["last-event-id"] = String(after);
        const call: Call = { method: "GET", path: `${pathOf(job)}/events`, headers };
        if (options.signal) call.signal = options.signal;
        for await (const value of serverSentEvents(await this.#client.send(call))) {
          const event = value as unknown as JobEvent;
          if (!(event.seq > after)) continue;
          after = event.seq;
          yield event;
          if (event.event === "end") return;
        }
      } catch (error) {
        if (!(error instanceof ConnectionFailed)) throw error;
        cause = error;
      }
      attempt = after > before ? 1 : attempt + 1;
      if (!(await this.#client.pause(attempt, options.signal))) {
        const message = `the events of ${job} ended after number ${after}: watch it again with after: ${after}`;
        throw new StreamInterrupted(message, { cause });
      }
    }
  }

  /** Returns the result of a document of a job. */
  async result(job: string, options: ResultOptions = {}): Promise<Document> {
    return await this.#client.json<Document>(resultOf(job, "json", options));
  }

  /** Returns the result of a document of a job in an output format. */
  async export(job: string, format: Format, options: ResultOptions = {}): Promise<Export> {
    return new Export(await this.#client.send(resultOf(job, format, options)));
  }

  /** Returns a page, from 1, also of a job that is not finished. */
  async page(job: string, page: number, options: { document?: number } & CallOptions = {}): Promise<Page> {
    const { document, ...rest } = options;
    const query: Record<string, string> = document === undefined ? {} : { document: String(document) };
    return await this.#client.json<Page>({ method: "GET", path: `${pathOf(job)}/pages/${page}`, query, ...rest });
  }

  /** Cancels a job that is not finished. One that is finished is deleted with its results. */
  async cancel(job: string, options: CallOptions = {}): Promise<JobDeletion> {
    const call: Call = { method: "DELETE", path: pathOf(job), repeatable: false, ...options };
    return await this.#client.json<JobDeletion>(call);
  }
}

/** The deployments that the tenant can use. */
export class Deployments {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Yields the deployments, by name. */
  async *list(options: CallOptions = {}): AsyncGenerator<Deployment, void, undefined> {
    let query: Record<string, string> = {};
    while (true) {
      const call: Call = { method: "GET", path: "/api/v1/deployments", query, ...options };
      const page = await this.#client.json<DeploymentList>(call);
      yield* page.deployments;
      if (!page.next) return;
      query = { cursor: page.next };
    }
  }

  /** Returns a deployment. */
  async get(name: string, options: CallOptions = {}): Promise<Deployment> {
    const path = `/api/v1/deployments/${encodeURIComponent(name)}`;
    return await this.#client.json<Deployment>({ method: "GET", path, ...options });
  }
}

function pathOf(job: string): string {
  return `/api/v1/jobs/${encodeURIComponent(job)}`;
}

function resultOf(job: string, format: Format, options: ResultOptions): Call {
  const query: Record<string, string> = { format };
  if (options.document !== undefined) query["document"] = String(options.document);
  if (options.partial) query["partial"] = "true";
  const call: Call = { method: "GET", path: `${pathOf(job)}/result`, query };
  if (options.signal) call.signal = options.signal;
  return call;
}

/** Puts options into the query and the headers of a request. */
function placed(call: Call, options: object, places: Readonly<Record<string, readonly [string, string]>>): Call {
  const query: Record<string, string> = { ...call.query };
  const headers: Record<string, string> = { ...call.headers };
  const out: Call = { ...call, query, headers };
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    if (value === undefined) continue;
    if (name === "signal") {
      out.signal = value as AbortSignal;
      continue;
    }
    const place = places[name];
    if (!place) throw new TypeError(`there is no option ${name}: use one of ${Object.keys(places).join(", ")}`);
    const [where, wire] = place;
    if (where === "header") headers[wire] = utf8(String(value));
    else query[wire] = String(value);
  }
  return out;
}

/** Returns a text whose characters are the bytes of its UTF-8: headers of fetch are bytes. */
function utf8(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

function form(files: Source[]): FormData {
  const form = new FormData();
  for (const file of files) {
    const [name, data] =
      "data" in file ? [file.name, file.data] : [file instanceof File ? file.name : "document", file];
    // The server detects the type from the bytes, and refuses a type that contradicts them.
    const type = "application/octet-stream";
    const blob = data instanceof Blob ? data.slice(0, data.size, type) : new Blob([data as BlobPart], { type });
    form.append("file", blob, name);
  }
  return form;
}

async function whole<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new StreamInterrupted(`the response broke before its end: ${reasonOf(error)}`, { cause: error });
  }
}

function otherForm(): ResponseInvalid {
  return new ResponseInvalid("the response of the server has another form: the address may be that of another server");
}

async function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
