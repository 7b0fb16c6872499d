#include "watcher/local_fs.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/vfs.h>

/* Numbers of <linux/magic.h> and of the file systems' own sources. */
static const struct {
    uint32_t magic;
    bool is_local;
    const char *name;
} known[] = {
    {0x0000ef53, true, "ext4"},   {0x58465342, true, "xfs"},
    {0x9123683e, true, "btrfs"},  {0x01021994, true, "tmpfs"},
    {0x858458f6, true, "ramfs"},  {0x2fc12fc1, true, "zfs"},
    {0xf2f52010, true, "f2fs"},   {0x794c7630, true, "overlayfs"},
    {0x3153464a, true, "jfs"},    {0x52654973, true, "reiserfs"},
    {0xca451a4e, true, "bcachefs"}, {0x00003434, true, "nilfs2"},
    {0x6969, false, "nfs"},       {0xff534d42, false, "cifs"},
    {0xfe534d42, false, "smb2"},  {0x517b, false, "smb"},
    {0x65735546, false, "fuse"},  {0x01161970, false, "gfs2"},
    {0x7461636f, false, "ocfs2"}, {0x00c36400, false, "ceph"},
    {0x5346414f, false, "afs"},   {0x01021997, false, "9p"},
    {0x0bd00bd0, false, "lustre"},
};

bool dp_fs_is_local(int fd, const char **out_name)
{
    struct statfs fs;
    *out_name = "unknown file system";
    if (fstatfs(fd, &fs) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].magic == (uint32_t)fs.f_type) {
            *out_name = known[i].name;
            return known[i].is_local;
        }
    }
    return false;
}
