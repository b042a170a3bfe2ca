#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "cold/cni/cni.h"

#define ADDRESSES_MAX 64

/* "10.1.2.3/24" into its parts. */
static int split(struct arena *arena, const char *text, const char **ret_address,
		 uint32_t *ret_prefix)
{
	const char *slash = strchr(text, '/');
	if (!slash || str_to_u32(slash + 1, ret_prefix) < 0 || *ret_prefix > 128)
		return -EINVAL;
	*ret_address = arena_strndup(arena, text, (size_t)(slash - text));
	return *ret_address ? 0 : -ENOMEM;
}

static int write_address(const struct cni *cni, const struct json *ip, bool v6,
			 struct json_writer *w)
{
	const char *text = "", *address, *gateway;
	uint32_t prefix;
	json_string(json_get(ip, "address"), &text);
	int r = split(cni->arena, text, &address, &prefix);
	if (r < 0)
		return r;
	json_field_string(w, v6 ? "GlobalIPv6Address" : "IPAddress", address);
	json_field_u64(w, v6 ? "GlobalIPv6PrefixLen" : "IPPrefixLen", prefix);
	if (json_string(json_get(ip, "gateway"), &gateway) && *gateway)
		json_field_string(w, v6 ? "IPv6Gateway" : "Gateway", gateway);
	return 0;
}

/* The first of a family that is inside the container. */
static const struct json *find_address(const struct json *result, bool v6)
{
	size_t count = 0;
	json_foreach (ip, json_get(result, "ips")) {
		const char *text;
		if (++count > ADDRESSES_MAX || !json_string(json_get(ip, "address"), &text))
			return NULL;
		if ((strchr(text, ':') != NULL) == v6)
			return ip;
	}
	return NULL;
}

static const char *find_mac(const struct cni *cni)
{
	json_foreach (interface, json_get(cni->result, "interfaces")) {
		const char *name, *mac, *sandbox;
		if (json_string(json_get(interface, "name"), &name) &&
		    streq(name, cni->interface) &&
		    json_string(json_get(interface, "sandbox"), &sandbox) && *sandbox &&
		    json_string(json_get(interface, "mac"), &mac) && strlen(mac) == 17)
			return mac;
	}
	return "00:00:00:00:00:00";
}

int cni_result_write(const struct cni *cni, struct json_writer *w, struct masu_error *err)
{
	char id[ID_LENGTH + 1];
	int r = id_random(id);
	if (r < 0)
		return error_errno(err, r, "endpoint id");
	json_begin_object(w);
	json_field_string(w, "Network", arena_printf(cni->arena, "cni:%s", cni->network));
	json_field_string(w, "Driver", "cni");
	json_field_string(w, "EndpointID", id);
	json_field_string(w, "Interface", cni->interface);
	json_field_string(w, "HostInterface", "");
	json_field_string(w, "MacAddress", find_mac(cni));
	for (int v6 = 0; r == 0 && v6 < 2; v6++) {
		const struct json *ip = find_address(cni->result, v6);
		r = ip ? write_address(cni, ip, v6, w) : 0;
	}
	json_key(w, "Ports");
	json_begin_array(w);
	json_end_array(w);
	json_end_object(w);
	return r < 0 ? error_set(err, r,
				 "CNI network %s: its plugins answered with an address that "
				 "is none",
				 cni->network)
		     : 0;
}
