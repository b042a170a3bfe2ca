/*
 * Snapshots of volumes: <volume>/snapshots/<snapshot>/ with snapshot.json and _data/. A snapshot is
 * never written to; "VOLUME@SNAPSHOT" names it wherever a volume is read from. Where the filesystem
 * has reflinks a copy shares its blocks with what it is of (copy_file_range(2)).
 *
 * Only of volumes that are directories of their own. That the volume stays meanwhile, and that what
 * writes to it stands still, is the engine's to see to.
 */
#pragma once

#include "volume/volume.h"

struct volume_snapshot {
	const char *name, *created;
};

/* The two sides of "VOLUME[@SNAPSHOT]" in the arena; *ret_snapshot NULL: there is none. -EINVAL. */
int volume_reference(struct arena *arena, const char *text, const char **ret_volume,
		     const char **ret_snapshot, struct masu_error *err);

/* Durable. -EEXIST where there is one of that name. */
int volume_snapshot_make(int root_fd, const char *root, struct arena *arena, const char *volume,
			 const char *snapshot, struct masu_error *err);
/* Durable. -ENOENT: "no such snapshot". That no container mounts it is the engine's to check. */
int volume_snapshot_remove(int root_fd, const char *root, struct arena *arena, const char *volume,
			   const char *snapshot, struct masu_error *err);
/* Sorted by name, in the arena. */
int volume_snapshot_list(int root_fd, const char *root, struct arena *arena, const char *volume,
			 struct volume_snapshot **ret, size_t *ret_count, struct masu_error *err);

/*
 * The volume has the snapshot's files and no others, at once and durably; what it had goes to the
 * trash. That no container has it mounted is the engine's to see to.
 */
int volume_restore(int root_fd, const char *root, struct arena *arena, const char *volume,
		   const char *snapshot, struct masu_error *err);
/*
 * A new volume @to with the files and labels of "VOLUME[@SNAPSHOT]" @from; it is there when it is
 * complete. -EEXIST.
 */
int volume_clone(int root_fd, const char *root, struct arena *arena, const char *from,
		 const char *to, struct masu_error *err);

/* The files as a tar archive, and such an archive's files into the volume. */
int volume_export(int root_fd, const char *root, struct arena *arena, const char *from, int fd,
		  struct masu_error *err);
/*
 * The same archive for the same files: names in the order of their bytes, and the volume's own look
 * first.
 */
int volume_export_sorted(int root_fd, const char *root, struct arena *arena, const char *from,
			 int fd, struct masu_error *err);
/* The files, for reading. -EOPNOTSUPP where they are not the volume's own. */
int volume_open_data(int root_fd, const char *root, struct arena *arena, const char *from,
		     struct volume *ret, int *ret_fd, struct masu_error *err);
int volume_import(int root_fd, const char *root, struct arena *arena, const char *volume, int fd,
		  struct masu_error *err);
