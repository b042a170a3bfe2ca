/* The document as a whole. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "oci/field.h"
#include "sys/fs.h"

#define S struct oci_spec

/* Length of a number without leading zeros at @s, 0: none. */
static size_t version_number(const char *s)
{
	size_t len = strspn(s, "0123456789");
	return len > 1 && *s == '0' ? 0 : len;
}

/* Dot-separated identifiers of [0-9A-Za-z-]; numeric ones without leading zeros if @strict. */
static bool version_identifiers(const char *s, size_t len, bool strict)
{
	static const char allowed[] =
		"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-";
	for (size_t at = 0; at <= len;) {
		size_t part = strspn(s + at, allowed);
		if (part == 0 || at + part > len)
			return false;
		if (strict && part > 1 && s[at] == '0' && strspn(s + at, "0123456789") >= part)
			return false;
		at += part;
		if (at == len)
			return true;
		if (s[at++] != '.')
			return false;
	}
	return false;
}

/* Semantic versioning 2.0.0. */
static bool version_valid(const char *s)
{
	for (int i = 0; i < 3; i++) {
		size_t len = version_number(s);
		if (len == 0)
			return false;
		s += len;
		if (i < 2 && *s++ != '.')
			return false;
	}
	if (*s == '-') {
		size_t len = strcspn(++s, "+");
		if (!version_identifiers(s, len, true))
			return false;
		s += len;
	}
	if (*s == '+')
		return version_identifiers(s + 1, strlen(s + 1), false);
	return *s == '\0';
}

static const struct oci_field root_fields[] = {
	{ "path", OCI_STRING, .required = true, OCI_AT(S, root_path) },
	{ "readonly", OCI_BOOL, OCI_AT(S, root_readonly) },
};
static const struct oci_table root_table = OCI_TABLE(S, root_fields);

static int check_spec(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	const S *spec = object;
	const char *named = spec->hostname ? "hostname" : spec->domainname ? "domainname" : NULL;
	struct oci_path version = { .key = "ociVersion" }, name = { .key = named };
	if (!version_valid(spec->version))
		return oci_refuse(p, &version, "\"%.64s\" is not a semantic version",
				  spec->version);
	if (!str_after(spec->version, "1."))
		return oci_refuse(p, &version, "\"%.64s\" is not supported; version 1 is",
				  spec->version);
	if (named && !spec->namespaces[OCI_NS_UTS].present)
		return oci_refuse(p, &name, "needs a uts namespace, or it would rename the host");
	return 0;
}

static const struct oci_field spec_fields[] = {
	{ "ociVersion", OCI_STRING, .required = true, OCI_AT(S, version) },
	{ "process", OCI_OBJECT, .table = &oci_process_table, OCI_AT(S, process),
	  OCI_HAS(S, process.present) },
	{ "root", OCI_OBJECT, .required = true, .table = &root_table, OCI_HAS(S, has_root) },
	{ "hostname", OCI_STRING, OCI_AT(S, hostname) },
	{ "domainname", OCI_STRING, OCI_AT(S, domainname) },
	{ "mounts", OCI_LIST, .table = &oci_mount_table, OCI_AT(S, mounts),
	  OCI_COUNT(S, mount_count) },
	{ "hooks", OCI_OBJECT, .table = &oci_hooks_table },
	{ "annotations", OCI_MAP, OCI_AT(S, annotations), OCI_COUNT(S, annotation_count) },
	{ "linux", OCI_OBJECT, .table = &oci_linux_table },
};
static const struct oci_table spec_table = OCI_TABLE(S, spec_fields, .check = check_spec);

int oci_spec_parse(struct arena *arena, const char *text, size_t len, struct oci_spec *ret,
		   struct masu_error *err)
{
	const struct json *document;
	struct oci_parser parser = { arena, err };
	int r = json_parse(arena, text, len, &document, err);
	if (r < 0)
		return r;
	struct oci_spec spec = { .document = document };
	r = oci_table_parse(&parser, NULL, document, &spec_table, &spec);
	if (r == 0)
		*ret = spec;
	return r;
}

int oci_spec_load(struct arena *arena, int bundle_fd, struct oci_spec *ret, struct masu_error *err)
{
	char *text;
	size_t len;
	int r = fs_read_arena(bundle_fd, "config.json", JSON_MAX_BYTES, arena, &text, &len);
	if (r < 0)
		return error_errno(err, r, "cannot read config.json in the bundle");
	r = oci_spec_parse(arena, text, len, ret, err);
	if (r < 0 && err)
		return error_wrap(err, "config.json");
	return r;
}

void oci_spec_write(struct json_writer *w, const struct oci_spec *spec)
{
	json_begin_object(w);
	oci_table_write(w, &spec_table, spec);
	json_end_object(w);
}
