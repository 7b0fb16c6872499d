#include "watcher/conf_text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define WORD_MAX  32 /* longer ones are none of ours */
#define WORDS_MAX 32 /* there are half as many */

typedef struct text {
    FILE *f;
    int line;
    int word_line;
    char word[WORD_MAX]; /* the last bare one */
    int depth;           /* of sections */
    char opened[WORD_MAX];
    int opened_line;
    char seen[WORDS_MAX][WORD_MAX + 2]; /* depth, word */
    size_t seen_n;
} text;

static int next(text *t)
{
    int c = getc(t->f);
    t->line += c == '\n';
    return c;
}

static void skip_to(text *t, int end)
{
    int c;
    while ((c = next(t)) != EOF && c != end) {
        if (c == '\\' && end != '\n') {
            next(t);
        }
    }
}

/* After a slash: perhaps a comment. */
static void skip_comment(text *t)
{
    int c = next(t), before = 0;
    if (c == '/') {
        skip_to(t, '\n');
        return;
    }
    while (c == '*' && (c = next(t)) != EOF) {
        if (before == '*' && c == '/') {
            return;
        }
        before = c;
        c = '*';
    }
}

static void take_word(text *t, int c)
{
    size_t n = 0;
    t->word_line = t->line;
    for (; isalnum(c) || c == '_'; c = getc(t->f)) {
        if (n < WORD_MAX - 1) {
            t->word[n++] = (char)c;
        }
    }
    t->word[n] = '\0';
    ungetc(c, t->f);
}

/* @return false: it has been there */
static bool note_word(text *t)
{
    char what[WORD_MAX + 2];
    snprintf(what, sizeof(what), "%d%s", t->depth > 0, t->word);
    for (size_t i = 0; i < t->seen_n; i++) {
        if (strcmp(t->seen[i], what) == 0) {
            return false;
        }
    }
    if (t->seen_n < WORDS_MAX) {
        strcpy(t->seen[t->seen_n++], what);
    }
    return true;
}

static bool look_through(text *t, const char *file, char *problem, size_t cap)
{
    int c;
    while ((c = next(t)) != EOF) {
        if (c == '"' || c == '\'') {
            skip_to(t, c);
        }
        else if (c == '#') {
            skip_to(t, '\n');
        }
        else if (c == '/') {
            skip_comment(t);
        }
        else if (isalpha(c)) {
            take_word(t, c);
        }
        else if (c == '=' && !note_word(t)) {
            snprintf(problem, cap, "%s:%d: %s is given twice: keep one", file,
                     t->word_line, t->word);
            return false;
        }
        else if (c == '{' && t->depth++ == 0) {
            strcpy(t->opened, t->word);
            t->opened_line = t->line;
        }
        else if (c == '}') {
            t->depth--;
        }
    }
    if (t->depth > 0) {
        snprintf(problem, cap, "%s:%d: %s: expected a } at its end", file,
                 t->opened_line, t->opened);
        return false;
    }
    return true;
}

bool dp_conf_text_check(const char *file, char *problem, size_t cap)
{
    text t = {.f = fopen(file, "re"), .line = 1};
    if (!t.f) {
        return true;
    }
    bool is_good = look_through(&t, file, problem, cap);
    fclose(t.f);
    return is_good;
}
