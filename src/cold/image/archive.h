/*
 * Archives of images: `docker save`'s format (manifest.json) and OCI image layouts, packed in a tar
 * or as a directory.
 *
 * An archive is first taken apart into files in staging, each hashed on the way, by name; then a
 * sandboxed process reads its JSON documents and says which files are which images.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "cold/image/staging.h"

#define ARCHIVE_MAX_MEMBERS   16384u
#define ARCHIVE_MAX_DOCUMENTS (64u << 20) /* bytes of JSON kept in memory */
#define ARCHIVE_MAX_IMAGES    4096u

struct archive_member {
	const char *path; /* clean, relative */
	const char *link; /* where it points to, clean; NULL: a file */
	struct staged_blob blob;
	const char *document; /* the content of what may be JSON, else NULL */
	size_t document_len;
};

struct platform;

struct archive {
	struct arena *arena;
	/* NULL: of an index the image for this machine, and any image that is alone; else this
	 * one's only. */
	const struct platform *platform;
	struct staging *staging;
	struct archive_member *members;
	size_t count, capacity, documents;
};

/* A manifest of the archive's list that is no image's. */
struct archive_artifact {
	const struct archive_member *manifest;
	const char *subject, *type; /* subject NULL: attached to nothing */
	const struct archive_member **blobs;
	size_t blob_count;
};

#define ARCHIVE_MAX_ARTIFACTS	   256u
#define ARCHIVE_MAX_ARTIFACT_BLOBS 64u

/* One image of the archive. */
struct archive_image {
	const struct archive_member *config;
	const struct archive_member *manifest; /* NULL: none, docker's format has none */
	const struct archive_member *original; /* that it was translated from; NULL: none */
	bool foreign;			       /* the manifest is Docker's, not OCI's */
	const struct archive_member **layers;
	const char **diff_ids;
	size_t layer_count;
	const char **references; /* full forms, NULL-terminated */
};

/* Takes the tar (compressed or not) in @fd apart. */
int archive_read(struct archive *archive, int fd, struct masu_error *err);
/* The same for a directory. */
int archive_read_directory(struct archive *archive, int fd, struct masu_error *err);

/* The file of that name, through links; NULL where there is none. */
const struct archive_member *archive_find(const struct archive *archive, const char *path);

/* Which images and artifacts the archive has; one of either at least. */
struct archive_plan {
	struct archive_image *images;
	size_t count;
	struct archive_artifact *artifacts;
	size_t artifact_count;
};
int archive_plan(const struct archive *archive, struct archive_plan *ret, struct masu_error *err);

/*
 * The sandboxed half of archive_plan(), also for tests: writes one line a fact,
 *   image <manifest member or -> <config member> / layer <member> <diff_id> / name <reference> /
 *   docker / original <member> / artifact <manifest member> <subject or -> <type> / part <member>
 * where members are numbers.
 */
int archive_describe(const struct archive *archive, struct buf *out, struct masu_error *err);
