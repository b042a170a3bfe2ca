/*
 * The sections of config.json as tables: one row a member, from which both the parser and the
 * writer work. Private to src/oci.
 */
#pragma once

#include <errno.h>

#include "oci/runtime_spec.h"

/* Where in the document a value stands, for messages: "process.rlimits[3].type". */
struct oci_path {
	const struct oci_path *parent;
	const char *key; /* NULL: an element of an array */
	size_t index;
};

struct oci_parser {
	struct arena *arena;
	struct masu_error *err;
};

struct oci_name {
	const char *name;
	uint64_t value;
};

enum oci_field_kind {
	OCI_STRING,	  /* const char *; "" counts as absent */
	OCI_ABSOLUTE,	  /* an OCI_STRING that must begin with a slash */
	OCI_STRINGS,	  /* char **, NULL-terminated */
	OCI_BOOL,	  /* bool */
	OCI_INT,	  /* signed or unsigned, `size` bytes, between min and max */
	OCI_U64,	  /* uint64_t, whole range */
	OCI_OPTIONAL_INT, /* struct oci_i64, between min and max */
	OCI_IDS,	  /* uint32_t *, with a count: user or group ids */
	OCI_ENUM,	  /* one of `names`; `size` bytes, of which only `mask` is it */
	OCI_FLAGS,	  /* array of `names`, or-ed into `size` bytes */
	OCI_OBJECT,	  /* structure at the offset, described by `table` */
	OCI_LIST,	  /* array of structures described by `table`, with a count */
	OCI_KEYED, /* as OCI_LIST from an object; the key goes to the structure's first member */
	OCI_MAP,   /* object of strings: struct oci_pair *, with a count */
	OCI_CUSTOM /* the row's own functions */
};

struct oci_table;

struct oci_field {
	const char *name;
	enum oci_field_kind kind;
	bool required; /* must be given */
	bool always;   /* is written also when it is zero */
	size_t offset, size;
	size_t count; /* offset of the size_t that goes with a list */
	size_t has;   /* 1 + offset of a bool that tells presence; 0: there is none */
	int64_t min, max;
	uint64_t mask; /* 0: all bits */
	const struct oci_name *names;
	const struct oci_table *table;
	int (*parse)(const struct oci_parser *parser, const struct oci_path *path,
		     const struct json *value, void *object);
	/* Writes key and value, or nothing. */
	void (*write)(struct json_writer *w, const char *name, const void *object);
};

struct oci_table {
	const struct oci_field *fields;
	size_t count;
	size_t size; /* of the structure */
	/* What rows cannot say; after all fields were read. May be NULL. */
	int (*check)(const struct oci_parser *parser, const struct oci_path *path, void *object);
};

#define OCI_TABLE(type, rows, ...)                                                                 \
	{                                                                                          \
		.fields = (rows), .count = sizeof(rows) / sizeof((rows)[0]), .size = sizeof(type), \
		__VA_ARGS__                                                                        \
	}
#define OCI_AT(type, member)	.offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
#define OCI_COUNT(type, member) .count = offsetof(type, member)
#define OCI_HAS(type, member)	.has = 1 + offsetof(type, member)
#define OCI_RANGE(low, high)	.min = (low), .max = (high)

/* -EINVAL with "<path>: <message>"; a macro, so that the compiler sees the negative result. */
#define oci_refuse(...) (oci_report(__VA_ARGS__), -EINVAL)
void oci_report(const struct oci_parser *parser, const struct oci_path *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int oci_no_memory(const struct oci_parser *parser);

/* "process.args[1]" into @ret, shortened where it does not fit. */
void oci_path_format(const struct oci_path *path, char *ret, size_t size);

/* Reads the members of @value that the table knows into the zeroed @object. */
int oci_table_parse(const struct oci_parser *parser, const struct oci_path *path,
		    const struct json *value, const struct oci_table *table, void *object);
/* One value as the row says. */
int oci_field_parse(const struct oci_parser *parser, const struct oci_path *path,
		    const struct json *value, const struct oci_field *field, void *object);
/* Writes the members (no braces). */
void oci_table_write(struct json_writer *w, const struct oci_table *table, const void *object);

int oci_strings_parse(const struct oci_parser *parser, const struct oci_path *path,
		      const struct json *value, char ***ret);

/* NULL where the name is unknown. */
const struct oci_name *oci_name_find(const struct oci_name *names, const char *name);

extern const struct oci_table oci_process_table;    /* struct oci_process */
extern const struct oci_table oci_mount_table;	    /* struct oci_mount */
extern const struct oci_table oci_hooks_table;	    /* struct oci_spec */
extern const struct oci_table oci_linux_table;	    /* struct oci_spec */
extern const struct oci_table oci_resources_table;  /* struct oci_resources */
extern const struct oci_table oci_id_mapping_table; /* struct oci_id_mapping */

/* Mount propagation and rlimit names (names.c). */
extern const struct oci_name oci_propagation_names[];
extern const struct oci_name oci_rlimit_names[];
