/* local_fs: does inotify see all changes of a file system?
 *
 * It sees what this kernel does. On NFS, CIFS, FUSE and cluster file systems
 * others change files behind its back, so only names that are known to be
 * local count (design.md, section 7).
 */
#ifndef LOCAL_FS_H
#define LOCAL_FS_H

#include <stdbool.h>

/**
 * @param fd        anything on that file system, O_PATH will do
 * @param out_name  what it is called, for people; static
 */
bool dp_fs_is_local(int fd, const char **out_name);

#endif
