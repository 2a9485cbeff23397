/** The values of an invoice in a line of text. */

export interface Value {
  kind: string;
  /** Place in the text. */
  start: number;
  end: number;
  /** Normal form. */
  value: string;
}

// A label with its value in the same line; `d` gives the places of the groups.
const NUMBER = /\binvoice (?:no\.?|number)[ :]*(\S+)/di;
const TOTAL = /\btotal(?: due)?[ :]*([0-9][0-9.,']*) ?(EUR|USD|GBP|CHF)\b/di;
const DATE = /\b(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))\b/d;
const IBAN = /\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b/g;

export function* values(text: string): Generator<Value> {
  const number = NUMBER.exec(text);
  if (number) yield { kind: "number", ...place(number, 1, 1), value: number[1] };
  const date = DATE.exec(text);
  if (date) yield { kind: "date", ...place(date, 1, 1), value: date[1] };
  const total = TOTAL.exec(text);
  if (total) {
    yield { kind: "total", ...place(total, 1, 2), value: `${decimal(total[1])} ${total[2].toUpperCase()}` };
  }
  for (const found of text.matchAll(IBAN)) {
    const value = found[0].replaceAll(" ", "");
    if (remainder(value) === 1) {
      yield { kind: "iban", start: found.index, end: found.index + found[0].length, value };
      break;
    }
  }
}

/** Returns where a group starts and another one ends. */
function place(found: RegExpExecArray, first: number, last: number): { start: number; end: number } {
  return { start: found.indices?.[first]?.[0] ?? 0, end: found.indices?.[last]?.[1] ?? 0 };
}

/** Computes the remainder of ISO 7064, MOD 97-10. */
function remainder(iban: string): number {
  const letters = [...iban.slice(4), ...iban.slice(0, 4)];
  const digits = letters.map((letter) => parseInt(letter, 36)).join("");
  return Number(BigInt(digits) % 97n);
}

/** Writes `1.234,50` and `1,234.50` as `1234.50`. */
function decimal(text: string): string {
  const digits = text.replaceAll(/[.,']/g, "");
  return /[.,]\d\d$/.test(text) ? `${digits.slice(0, -2)}.${digits.slice(-2)}` : digits;
}
