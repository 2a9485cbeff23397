/* Reads invoices: wraps another deployment, and finds number, date, total and IBAN in the lines that it reads.
 *
 * `lector guest build` generates `wrapper.h` from the contract in `lector/wit`. Every page has an instance of its own, whose
 * memory ends with it: only results are allocated, and nothing is freed. */

#include <ctype.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wrapper.h"

enum field { NUMBER, DATE, TOTAL, IBAN, FIELDS };

static const char *const NAMES[FIELDS] = { "number", "date", "total", "iban" };
/* The names in alphabetical order, as the properties list them. */
static const enum field SORTED[FIELDS] = { DATE, IBAN, NUMBER, TOTAL };

/* Extended regular expressions; the first group is the value, the second of a total its currency. */
static const char *const PATTERNS[FIELDS] = {
    "\\binvoice (no\\.?|number)[ :]*([^ ]+)",
    "\\b([0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]))\\b",
    "\\btotal( due)?[ :]*([0-9][0-9.,']*) ?(EUR|USD|GBP|CHF)\\b",
    "\\b([A-Z]{2}[0-9]{2}( ?[A-Z0-9]){11,30})\\b",
};
enum { GROUPS = 4 };

/* Characters of a text: bytes from `start` to `end`, and the value in its normal form. */
struct value {
    size_t start, end;
    char *normal;
};

static bool starts_with(const char *text, const char *start) { return strncmp(text, start, strlen(start)) == 0; }

static const char *skip_space(const char *text) { return text + strspn(text, " \t\r\n"); }

static char *copied(const char *text, size_t length)
{
    char *copy = malloc(length + 1);
    if (!copy) abort();
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

static bool refuse(lector_ocr_pipeline_types_config_error_t *error, const char *pointer, const char *message)
{
    wrapper_string_dup(&error->pointer, pointer);
    wrapper_string_dup(&error->message, message);
    return false;
}

/* Reads the settings: `fields`, the ones to find (default: all). The host has checked that they are a JSON object. */
static bool options(const wrapper_string_t *given, bool wanted[FIELDS], lector_ocr_pipeline_types_config_error_t *error)
{
    static const char *const MESSAGE = "must be a list of number, date, total, iban";
    for (int field = 0; field < FIELDS; field++) wanted[field] = true;
    const char *at = skip_space(copied((const char *) given->ptr, given->len));
    at = skip_space(at + 1);
    if (*at == '}') return true;
    if (!starts_with(at, "\"fields\"")) {
        size_t length = strcspn(at + 1, "\"");
        char *pointer = copied(at, length + 1);
        pointer[0] = '/';
        return refuse(error, pointer, "is no setting; the settings are: fields");
    }
    at = skip_space(skip_space(at + strlen("\"fields\"")) + 1);
    if (*at != '[') return refuse(error, "/fields", MESSAGE);
    for (int field = 0; field < FIELDS; field++) wanted[field] = false;
    at = skip_space(at + 1);
    while (*at != ']') {
        size_t length = *at == '"' ? strcspn(at + 1, "\"") : 0;
        int field = 0;
        while (field < FIELDS && (strlen(NAMES[field]) != length || strncmp(at + 1, NAMES[field], length) != 0)) field++;
        if (field == FIELDS) return refuse(error, "/fields", MESSAGE);
        wanted[field] = true;
        at = skip_space(at + length + 2);
        if (*at == ',') at = skip_space(at + 1);
    }
    at = skip_space(at + 1);
    if (*at == '}') return true;
    size_t length = strcspn(at, "\"") + 1;
    char *pointer = copied(at + length - 1, strcspn(at + length, "\"") + 1);
    pointer[0] = '/';
    return refuse(error, pointer, "is no setting; the settings are: fields");
}

/* Writes `1.234,50` and `1,234.50` as `1234.50`, and the currency after it. */
static char *amount(const char *text, regmatch_t number, regmatch_t currency)
{
    char *normal = malloc((size_t) (number.rm_eo - number.rm_so) + 6);
    if (!normal) abort();
    char *to = normal;
    for (regoff_t at = number.rm_so; at < number.rm_eo; at++) {
        bool cents = at == number.rm_eo - 3 && strchr(".,", text[at]);
        if (cents) *to++ = '.';
        else if (isdigit((unsigned char) text[at])) *to++ = text[at];
    }
    *to++ = ' ';
    for (regoff_t at = currency.rm_so; at < currency.rm_eo; at++) *to++ = (char) toupper((unsigned char) text[at]);
    *to = 0;
    return normal;
}

/* Returns an IBAN without spaces, or null where its check digits are wrong. */
static char *iban(const char *text, regmatch_t place)
{
    char *normal = copied(text + place.rm_so, (size_t) (place.rm_eo - place.rm_so));
    char *to = normal;
    for (const char *from = normal; *from; from++) {
        if (*from != ' ') *to++ = *from;
    }
    *to = 0;
    size_t length = strlen(normal);
    unsigned rest = 0;
    for (size_t at = 0; at < length; at++) {
        char digit = normal[(at + 4) % length];
        rest = isdigit((unsigned char) digit) ? (rest * 10 + (unsigned) (digit - '0')) % 97
                                              : (rest * 100 + (unsigned) (digit - 'A') + 10) % 97;
    }
    return rest == 1 ? normal : NULL;
}

/* Finds a field in the text of a line. */
static bool find(enum field field, const regex_t *pattern, const char *text, struct value *found)
{
    regmatch_t groups[GROUPS];
    for (const char *from = text; regexec(pattern, from, GROUPS, groups, from == text ? 0 : REG_NOTBOL) == 0;) {
        regmatch_t place = groups[field == NUMBER || field == TOTAL ? 2 : 1];
        found->start = (size_t) (from - text + place.rm_so);
        found->end = (size_t) (from - text + (field == TOTAL ? groups[3].rm_eo : place.rm_eo));
        if (field == TOTAL) found->normal = amount(from, place, groups[3]);
        else if (field == IBAN) found->normal = iban(from, place);
        else found->normal = copied(from + place.rm_so, (size_t) (place.rm_eo - place.rm_so));
        if (found->normal) return true;
        from += groups[0].rm_eo;
    }
    return false;
}

/* Returns the number of characters in the first bytes of a text in UTF-8. */
static size_t characters(const char *text, size_t bytes)
{
    size_t count = 0;
    for (size_t at = 0; at < bytes; at++) count += ((unsigned char) text[at] & 0xC0) != 0x80;
    return count;
}

static lector_types_geometry_point_t along(lector_types_geometry_point_t a, lector_types_geometry_point_t b, float share)
{
    return (lector_types_geometry_point_t) { a.x + (b.x - a.x) * share, a.y + (b.y - a.y) * share };
}

/* Returns the quad of some characters, as if all characters of the line had one width. */
static lector_types_geometry_quad_t part(const lector_ocr_model_line_t *line, const char *text, const struct value *found)
{
    float length = (float) characters(text, strlen(text));
    float start = (float) characters(text, found->start) / length;
    float end = (float) characters(text, found->end) / length;
    lector_types_geometry_quad_t quad = line->quad;
    return (lector_types_geometry_quad_t) {
        .top_left = along(quad.top_left, quad.top_right, start),
        .top_right = along(quad.top_left, quad.top_right, end),
        .bottom_right = along(quad.bottom_left, quad.bottom_right, end),
        .bottom_left = along(quad.bottom_left, quad.bottom_right, start),
    };
}

/* Adds a finding of the line with this index to the page. */
static void add(lector_ocr_model_transcript_t *page, enum field field, uint32_t index, const char *text,
                const struct value *found)
{
    lector_ocr_model_list_finding_t *all = &page->findings;
    all->ptr = all->len ? realloc(all->ptr, (all->len + 1) * sizeof *all->ptr) : malloc(sizeof *all->ptr);
    uint32_t *lines = malloc(sizeof *lines);
    if (!all->ptr || !lines) abort();
    *lines = index;
    lector_ocr_model_finding_t *finding = &all->ptr[all->len++];
    *finding = (lector_ocr_model_finding_t) {
        .confidence = page->lines.ptr[index].confidence,
        .lines = { .ptr = lines, .len = 1 },
        .quad = part(&page->lines.ptr[index], text, found),
        .value = { .is_some = true },
    };
    wrapper_string_dup(&finding->kind, NAMES[field]);
    wrapper_string_dup_n(&finding->text, text + found->start, found->end - found->start);
    wrapper_string_dup(&finding->value.val, found->normal);
}

/* Writes a JSON string. */
static void write_json(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') fprintf(to, "\\%c", *text);
        else if ((unsigned char) *text < 0x20) fprintf(to, "\\u%04x", *text);
        else fputc(*text, to);
    }
    fputc('"', to);
}

/* Returns `{"invoice":{..}}` with the values that were found. */
static char *properties(char *const values[FIELDS])
{
    char *text = NULL;
    size_t length = 0;
    FILE *to = open_memstream(&text, &length);
    if (!to) abort();
    fputs("{\"invoice\":{", to);
    const char *between = "";
    for (int at = 0; at < FIELDS; at++) {
        enum field field = SORTED[at];
        if (!values[field]) continue;
        fprintf(to, "%s\"%s\":", between, NAMES[field]);
        write_json(to, values[field]);
        between = ",";
    }
    fputs("}}", to);
    fclose(to);
    return text;
}

bool exports_lector_ocr_pipeline_configure(wrapper_string_t *settings, exports_lector_ocr_pipeline_pipeline_info_t *ret,
                                           exports_lector_ocr_pipeline_config_error_t *err)
{
    bool wanted[FIELDS];
    if (!options(settings, wanted, err)) return false;
    wrapper_string_t none;
    wrapper_string_set(&none, "{}");
    lector_ocr_pipeline_pipeline_info_t inner;
    if (!lector_ocr_pipeline_configure(&none, &inner, err)) return false;
    /* Its models are those of the wrapped deployment. */
    *ret = (exports_lector_ocr_pipeline_pipeline_info_t) { .features = inner.features };
    size_t count = ret->features.len++;
    wrapper_string_t *features = malloc(ret->features.len * sizeof *features);
    if (!features) abort();
    if (count) memcpy(features, inner.features.ptr, count * sizeof *features);
    wrapper_string_dup(&features[count], "findings");
    ret->features.ptr = features;
    return true;
}

bool exports_lector_ocr_pipeline_recognize(exports_lector_ocr_pipeline_own_page_t page,
                                           exports_lector_ocr_pipeline_request_t *request,
                                           exports_lector_ocr_pipeline_transcript_t *ret,
                                           exports_lector_ocr_pipeline_error_t *err)
{
    bool wanted[FIELDS];
    wrapper_string_t settings;
    lector_ocr_pipeline_types_config_error_t refused;
    lector_ocr_settings_get(&settings);
    /* `configure` has accepted them. */
    if (!options(&settings, wanted, &refused)) abort();
    if (!lector_ocr_pipeline_recognize(page, request, ret, err)) return false;
    regex_t patterns[FIELDS];
    for (int field = 0; field < FIELDS; field++) {
        int icase = field == NUMBER || field == TOTAL ? REG_ICASE : 0;
        if (wanted[field] && regcomp(&patterns[field], PATTERNS[field], REG_EXTENDED | icase) != 0) abort();
    }
    char *values[FIELDS] = { NULL };
    for (uint32_t index = 0; index < ret->lines.len; index++) {
        const lector_ocr_model_line_t *line = &ret->lines.ptr[index];
        const char *text = copied((const char *) line->text.ptr, line->text.len);
        for (int field = 0; field < FIELDS; field++) {
            struct value found;
            if (!wanted[field] || values[field] || !find(field, &patterns[field], text, &found)) continue;
            values[field] = found.normal;
            add(ret, field, index, text, &found);
        }
    }
    ret->properties.is_some = true;
    wrapper_string_set(&ret->properties.val, properties(values));
    return true;
}

bool exports_lector_ocr_pipeline_assemble(exports_lector_ocr_pipeline_own_transcripts_t pages,
                                          exports_lector_ocr_pipeline_summary_t *ret,
                                          exports_lector_ocr_pipeline_error_t *err)
{
    return lector_ocr_pipeline_assemble(pages, ret, err);
}
