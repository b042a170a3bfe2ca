/*
 * Running CNI plugins (https://www.cni.dev/docs/spec/, versions 0.3.0 to 1.0.0). A configuration,
 * and what a plugin answers, comes from an administrator; it is parsed within maxima all the same.
 */
#pragma once

#include <limits.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "json/json.h"

#define CNI_CONFIG_MAX	(1u << 20) /* bytes of a configuration */
#define CNI_RESULT_MAX	(1u << 20) /* bytes of what a plugin writes */
#define CNI_PLUGINS_MAX 32
#define CNI_FILES_MAX	1024
#define CNI_SECONDS	60 /* for one plugin */

/* What one call is about. */
struct cni {
	struct arena *arena;
	int netns_fd;	     /* -1: it is not known */
	int root_fd, run_fd; /* masu's root and runroot */
	const char *container, *network, *interface;
	const struct json *request;
	const struct json *config; /* the list of plugins */
	const struct json *result; /* of ADD, or NULL */
	char netns[4096];	   /* where plugins find the namespace; "" if it is gone */
};

/* The list of that name in the directory NETCONFPATH (/etc/cni/net.d): the first of the sorted
 * *.conflist, *.conf and *.json. What is one plugin becomes a list of it. -ENOENT. */
int cni_config_find(struct arena *arena, const char *name, const struct json **ret,
		    struct masu_error *err);
/* Whether a plugin of the list takes a capability. */
bool cni_config_takes(const struct json *config, const char *capability);

/* Where a plugin is, below CNI_PATH (/usr/lib/cni:/opt/cni/bin). -ENOENT. */
int cni_plugin_find(const char *type, char ret[PATH_MAX], struct masu_error *err);
/*
 * Runs a plugin with @command (ADD, DEL, CHECK) and its
 * configuration on stdin; its answer in @ret. What it complains of is in @err.
 */
int cni_plugin_run(const struct cni *cni, const char *command, const struct json *plugin,
		   const struct buf *config, struct buf *ret, struct masu_error *err);

/*
 * Each through all plugins of the network, and each writes down before what has to be undone:
 * whoever is killed in the middle leaves a record, <root>/cni/<container>-<interface>.json, with
 * which del is possible without the configuration. Where there is such a record, add begins with
 * del.
 */
int cni_add(struct cni *cni, struct masu_error *err);
int cni_del(struct cni *cni, struct masu_error *err);
int cni_check(struct cni *cni, struct masu_error *err);

/* The endpoint (network_endpoint_load()) that follows from cni->result. */
int cni_result_write(const struct cni *cni, struct json_writer *w, struct masu_error *err);
