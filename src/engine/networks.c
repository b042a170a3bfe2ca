/* Networks as objects: finding, listing, inspecting, defining and removing them. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/sha256.h"
#include "base/str.h"
#include "engine/config.h"
#include "engine/events.h"
#include "engine/inspect.h"
#include "engine/internal.h"
#include "state/record.h"
#include "sys/fs.h"

static const char *const predefined[] = { "bridge", "host", "none" };

/* As podman does: the name's digest. It is the same on every machine and after every change. */
void inspect_network_id(const char *name, char ret[65])
{
	sha256_hex(name, strlen(name), ret);
}

static bool is_predefined(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(predefined); i++)
		if (streq(name, predefined[i]))
			return true;
	return false;
}

static int read_definition(struct engine *engine, struct arena *arena, const char *name,
			   const struct json **ret, struct masu_error *err)
{
	char path[300];
	if (!name_valid(name) || str_format(path, sizeof(path), "networks/%s.json", name) < 0)
		return -ENOENT;
	return record_read(engine->root_fd, path, arena, ret, err);
}

/* What is written in its definition, or follows from the name of a predefined one. */
static const char *id_of(const char *name, const struct json *definition, char own[65])
{
	const char *id = NULL;
	if (definition && json_string(json_get(definition, "Id"), &id) && *id)
		return id;
	inspect_network_id(name, own);
	return own;
}

/* Calls @fn for the name of each network, until it returns non-zero: that is returned. */
static int each_network(struct engine *engine, struct arena *arena,
			int (*fn)(void *opaque, const char *name, const struct json *definition),
			void *opaque)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(engine->root_fd, "networks");
	struct dirent *entry;
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(predefined); i++) {
		const struct json *definition = NULL;
		(void)read_definition(engine, arena, predefined[i], &definition, NULL);
		r = fn(opaque, predefined[i], definition);
	}
	while (r == 0 && dir && (entry = readdir(dir))) {
		const struct json *definition;
		size_t len = strlen(entry->d_name);
		if (!str_ends_with(entry->d_name, ".json"))
			continue;
		const char *name = arena_strndup(arena, entry->d_name, len - strlen(".json"));
		if (!name)
			return -ENOMEM;
		if (!is_predefined(name) &&
		    read_definition(engine, arena, name, &definition, NULL) == 0)
			r = fn(opaque, name, definition);
	}
	return r;
}

struct search {
	const char *prefix, *found;
	size_t count;
};

static int note_match(void *opaque, const char *name, const struct json *definition)
{
	struct search *search = opaque;
	char own[65];
	if (!str_after(id_of(name, definition, own), search->prefix))
		return 0;
	search->found = name;
	search->count++;
	return 0;
}

int engine_network_resolve(struct engine *engine, struct arena *arena, const char *name_or_id,
			   const char **ret, struct masu_error *err)
{
	char path[300];
	struct search search = { .prefix = name_or_id };
	if (is_predefined(name_or_id) ||
	    (name_valid(name_or_id) &&
	     str_format(path, sizeof(path), "networks/%s.json", name_or_id) == 0 &&
	     faccessat(engine->root_fd, path, F_OK, 0) == 0)) {
		*ret = name_or_id;
		return 0;
	}
	int r = id_prefix_valid(name_or_id) ? each_network(engine, arena, note_match, &search) : 0;
	if (r < 0)
		return error_errno(err, r, "networks");
	if (search.count > 1)
		return error_set(err, -EINVAL, "network %.100s is ambiguous (%zu matches found)",
				 name_or_id, search.count);
	if (search.count == 0 && str_after(name_or_id, "cni:"))
		return error_set(err, -EOPNOTSUPP,
				 "network %.200s is its plugins' and each container's own: say it "
				 "as --network of run or create; nothing else names it",
				 name_or_id);
	if (search.count == 0)
		return error_set(err, -ENOENT, "network %.200s not found", name_or_id);
	*ret = search.found;
	return 0;
}

/* ---- the document ---- */

struct member_list {
	struct json_writer *w;
	const char *network;
};

static int member_write(void *opaque, struct arena *arena, const struct container *container,
			struct masu_error *err)
{
	const struct member_list *list = opaque;
	char text[INET6_ADDRSTRLEN], mac[18];
	for (size_t i = 0; i < container->endpoint_count; i++) {
		const struct network_endpoint *e = &container->endpoints[i];
		if (!streq(e->network, list->network))
			continue;
		json_key(list->w, container->id);
		json_begin_object(list->w);
		json_field_string(list->w, "Name", container->name);
		json_field_string(list->w, "EndpointID", e->id);
		inspect_mac(e, mac);
		json_field_string(list->w, "MacAddress", mac);
		inspect_address(AF_INET, e->has_ipv4, &e->ipv4, text);
		json_field_string(list->w, "IPv4Address",
				  *text ? arena_printf(arena, "%s/%u", text, e->ipv4_prefix) : "");
		inspect_address(AF_INET6, e->has_ipv6, &e->ipv6, text);
		json_field_string(list->w, "IPv6Address",
				  *text ? arena_printf(arena, "%s/%u", text, e->ipv6_prefix) : "");
		json_end_object(list->w);
	}
	return 0;
}

/* Docker's order of an element: the subnet first, then the range. */
static void pool_write(struct json_writer *w, const struct json *pool)
{
	static const char *const keys[] = { "Subnet", "IPRange", "Gateway", "AuxiliaryAddresses" };
	json_begin_object(w);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct json *value = json_get(pool, keys[i]);
		if (!value)
			continue;
		json_key(w, keys[i]);
		json_put_value(w, value);
	}
	json_end_object(w);
}

static void ipam_write(struct json_writer *w, const struct json *definition)
{
	json_key(w, "IPAM");
	json_begin_object(w);
	json_field_string(w, "Driver", "default");
	json_key(w, "Options");
	json_put_null(w);
	json_key(w, "Config");
	json_begin_array(w);
	json_foreach (pool, json_get(json_get(definition, "IPAM"), "Config"))
		pool_write(w, pool);
	json_end_array(w);
	json_end_object(w);
}

static void object_write(struct json_writer *w, const char *key, const struct json *object)
{
	json_key(w, key);
	if (object) {
		json_put_value(w, object);
	} else {
		json_begin_object(w);
		json_end_object(w);
	}
}

static void flag_write(struct json_writer *w, const char *key, const struct json *definition)
{
	bool yes = false;
	json_bool(json_get(definition, key), &yes);
	json_field_bool(w, key, yes);
}

/* Opens the object and writes what comes before its containers. */
static void network_begin(struct json_writer *w, const char *name, const struct json *definition)
{
	char own[65];
	const char *created = TIME_TEXT_NEVER;
	const char *driver = streq(name, "host") ? "host" : streq(name, "none") ? "null" : "bridge";
	json_string(json_get(definition, "Created"), &created);
	json_string(json_get(definition, "Driver"), &driver);
	json_begin_object(w);
	json_field_string(w, "Name", name);
	json_field_string(w, "Id", id_of(name, definition, own));
	json_field_string(w, "Created", created);
	json_field_string(w, "Scope", "local");
	json_field_string(w, "Driver", driver);
	flag_write(w, "EnableIPv6", definition);
	ipam_write(w, definition);
	flag_write(w, "Internal", definition);
	flag_write(w, "Attachable", definition);
	json_field_bool(w, "Ingress", false);
	json_key(w, "ConfigFrom");
	json_begin_object(w);
	json_field_string(w, "Network", "");
	json_end_object(w);
	json_field_bool(w, "ConfigOnly", false);
}

static void network_end(struct json_writer *w, const struct json *definition)
{
	object_write(w, "Options", json_get(definition, "Options"));
	object_write(w, "Labels", json_get(definition, "Labels"));
	json_end_object(w);
}

int engine_inspect_network(struct engine *engine, struct arena *arena, const char *name_or_id,
			   struct json_writer *w, struct masu_error *err)
{
	const struct json *definition = NULL;
	const char *name;
	int r = engine_network_resolve(engine, arena, name_or_id, &name, err);
	if (r < 0)
		return r;
	const struct member_list list = { w, name };
	r = read_definition(engine, arena, name, &definition, err);
	if (r < 0 && r != -ENOENT)
		return r;
	network_begin(w, name, definition);
	json_key(w, "Containers");
	json_begin_object(w);
	r = engine_each(engine, false, member_write, (void *)&list, err);
	json_end_object(w);
	network_end(w, definition);
	return r < 0 ? r : 0;
}

/* ---- the list ---- */

struct listing {
	struct arena *arena;
	const struct json **documents;
	size_t count, room;
};

static int note_document(void *opaque, const char *name, const struct json *definition)
{
	struct listing *list = opaque;
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 0);
	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 16;
		const struct json **more = arena_array(list->arena, const struct json *, room);
		if (!more)
			return -ENOMEM;
		if (list->count)
			memcpy(more, list->documents, list->count * sizeof(*more));
		list->documents = more;
		list->room = room;
	}
	json_writer_init(&w, &text, false);
	network_begin(&w, name, definition);
	network_end(&w, definition);
	int r = json_parse_written(list->arena, &text, &list->documents[list->count], NULL);
	list->count += r == 0;
	return r;
}

static int by_name(const void *a, const void *b)
{
	const char *first = "", *second = "";
	json_string(json_get(*(const struct json *const *)a, "Name"), &first);
	json_string(json_get(*(const struct json *const *)b, "Name"), &second);
	return strcmp(first, second);
}

int engine_network_list(struct engine *engine, struct arena *arena, const struct json ***ret,
			size_t *ret_count, struct masu_error *err)
{
	struct listing list = { .arena = arena };
	int r = each_network(engine, arena, note_document, &list);
	if (r < 0)
		return error_errno(err, r, "networks");
	qsort(list.documents, list.count, sizeof(*list.documents), by_name);
	*ret = list.documents;
	*ret_count = list.count;
	return 0;
}

/* ---- defining and removing ---- */

int engine_network_create(struct engine *engine, struct network_create *request, char ret_id[65],
			  struct masu_error *err)
{
	char created[TIME_TEXT_SIZE];
	request->created = time_now_text(created);
	int r = network_create(engine->root_fd, request, ret_id, err);
	if (r == 0)
		event_network_defined(engine, request->name, ret_id,
				      request->driver ? request->driver : "bridge", "create");
	return r;
}

int engine_network_remove(struct engine *engine, const char *name_or_id, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct json *definition = NULL;
	const char *name, *driver = "bridge";
	char own[65];
	arena_init(&arena, 0);
	int r = engine_network_resolve(engine, &arena, name_or_id, &name, err);
	if (r < 0)
		return r;
	if (is_predefined(name))
		return error_set(err, -EPERM, "%s is a pre-defined network and cannot be removed",
				 name);
	r = read_definition(engine, &arena, name, &definition, err);
	if (r == 0)
		r = network_remove(engine->root_fd, engine->run_fd, name, err);
	if (r < 0)
		return r;
	json_string(json_get(definition, "Driver"), &driver);
	event_network_defined(engine, name, id_of(name, definition, own), driver, "destroy");
	return 0;
}
