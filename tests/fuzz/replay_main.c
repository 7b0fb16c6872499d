/* replay_main: runs a fuzz target over its corpus, without libFuzzer.
 *
 * The files named, or without arguments all of corpus/NAME, of a program called
 * fuzz_NAME. Each one also cut off at its half, as the seeds are whole
 * documents. One thread.
 */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz_same.h"

/* A target may say whose corpora it takes besides: names, each with a blank
 * behind it. */
__attribute__((weak)) const char fuzz_also[] = "";

static int replay(const char *path)
{
    static unsigned char buf[1 << 20];
    FILE *file = fopen(path, "rb");
    size_t n;

    if (!file) {
        perror(path);
        return 0;
    }
    n = fread(buf, 1, sizeof(buf), file);
    fclose(file);
    for (int part = 1; part <= 2; part++) {
        /* a block of its own, so that sanitizers see its end */
        unsigned char *copy = malloc(n / part);

        if (n / part) {
            memcpy(copy, buf, n / part);
        }
        LLVMFuzzerTestOneInput(copy, n / part);
        free(copy);
    }
    return 1;
}

static int replay_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int n = 0;

    if (!dir) {
        perror(folder);
        return 0;
    }
    while ((entry = readdir(dir))) {
        char path[4096];

        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
            n += replay(path);
        }
    }
    closedir(dir);
    return n;
}

static int replay_corpus(const char *program)
{
    char folder[4096];
    const char *name = strstr(program, "fuzz_");

    int n = 0;

    for (const char *next; name && (next = strstr(name + 1, "fuzz_"));) {
        name = next;
    }
    if (!name) {
        fprintf(stderr, "%s: expected to be called fuzz_NAME\n", program);
        return 0;
    }
    snprintf(folder, sizeof(folder), "%s/%s", CORPORA, name + strlen("fuzz_"));
    n = replay_folder(folder);
    for (const char *at = fuzz_also; *at; at += strcspn(at, " ") + 1) {
        snprintf(folder, sizeof(folder), "%s/%.*s", CORPORA,
                 (int)strcspn(at, " "), at);
        n += replay_folder(folder);
    }
    return n;
}

int main(int argc, char **argv)
{
    int n = 0;

    for (int i = 1; i < argc; i++) {
        n += replay(argv[i]);
    }
    if (argc == 1) {
        n = replay_corpus(argv[0]);
    }
    printf("%d inputs replayed\n", n);
    return n > 0 ? 0 : 1;
}
