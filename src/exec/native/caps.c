#include "exec/native/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"

#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT		 47
#define PR_CAP_AMBIENT_RAISE	 2
#define PR_CAP_AMBIENT_CLEAR_ALL 4
#endif

static struct __user_cap_header_struct header(void)
{
	return (struct __user_cap_header_struct) { .version = _LINUX_CAPABILITY_VERSION_3 };
}

int caps_permitted(uint64_t *ret)
{
	struct __user_cap_header_struct head = header();
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	*ret = (uint64_t)data[1].permitted << 32 | data[0].permitted;
	return 0;
}

uint64_t caps_bounding(void)
{
	uint64_t set = 0;
	for (unsigned cap = 0; cap < 64; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (has < 0)
			break;
		if (has)
			set |= OCI_CAP_BIT(cap);
	}
	return set;
}

static void add_names(struct buf *names, uint64_t set)
{
	for (unsigned cap = 0; cap < 64; cap++)
		if (set & OCI_CAP_BIT(cap)) {
			const char *name = oci_capability_name(cap);
			buf_printf(names, "%s%s", names->len ? ", " : "", name ? name : "?");
		}
}

void caps_clamp(struct oci_capabilities *caps)
{
	uint64_t permitted = 0, wanted = caps->bounding | caps->permitted | caps->effective;
	(void)caps_permitted(&permitted);
	uint64_t grantable = permitted;
	/* Reading the bounding set takes a call a capability; only asked where it matters. */
	if (wanted & ~permitted)
		grantable |= caps_bounding();
	uint64_t lost =
		(caps->bounding & ~grantable) | ((caps->permitted | caps->effective) & ~permitted);
	caps->bounding &= grantable;
	caps->permitted &= permitted;
	caps->effective &= caps->permitted;
	caps->inheritable &= caps->bounding;
	/* An ambient capability that is not inheritable cannot be raised; runc's default spec asks
	 * for that, and it is no news to anybody. */
	caps->ambient &= caps->permitted & caps->inheritable;
	if (lost && log_enabled(LOG_LEVEL_WARN)) {
		_cleanup_buf_ struct buf names;
		buf_init(&names, 4096);
		add_names(&names, lost);
		log_warn("process.capabilities: cannot be granted here: %s", buf_str(&names));
	}
}

int caps_drop_bounding(uint64_t keep, struct masu_error *err)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		if (keep & OCI_CAP_BIT(cap))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL)
			return 0; /* past the kernel's last one */
		return error_errno(err, -errno, "cannot drop %s from the bounding set",
				   oci_capability_name(cap) ? oci_capability_name(cap)
							    : "a capability");
	}
	return 0;
}

int caps_set(uint64_t effective, uint64_t permitted, uint64_t inheritable, struct masu_error *err)
{
	struct __user_cap_header_struct head = header();
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable },
		{ (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32),
		  (uint32_t)(inheritable >> 32) },
	};
	if (syscall(SYS_capset, &head, data) < 0)
		return error_errno(err, -errno, "cannot set the capabilities");
	return 0;
}

int caps_set_ambient(uint64_t ambient, struct masu_error *err)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return error_errno(err, -errno, "cannot clear the ambient capabilities");
	for (unsigned cap = 0; ambient >> cap; cap++)
		if ((ambient & OCI_CAP_BIT(cap)) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return error_errno(err, -errno, "cannot raise ambient %s",
					   oci_capability_name(cap) ? oci_capability_name(cap)
								    : "capability");
	return 0;
}
