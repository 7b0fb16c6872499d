/* replay_main: runs a fuzz target over its corpus, without libFuzzer.
 *
 * The files named, or without arguments all of CORPUS. Each one also cut off
 * at its half, as the seeds are whole documents. One thread.
 */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz_same.h"

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
        unsigned char *copy = malloc(n / part + 1);

        memcpy(copy, buf, n / part);
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

int main(int argc, char **argv)
{
    int n = 0;

    for (int i = 1; i < argc; i++) {
        n += replay(argv[i]);
    }
    if (argc == 1) {
        n = replay_folder(CORPUS);
    }
    printf("%d inputs replayed\n", n);
    return n > 0 ? 0 : 1;
}
