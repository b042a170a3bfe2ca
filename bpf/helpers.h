/* The kernel's helpers that tcx.c calls, by their numbers (linux/bpf.h), and what its headers of
 * Linux 6.1 do not have yet. */
#pragma once

#include <linux/bpf.h>

#define SECTION(name) __attribute__((section(name), used))
#define INLINE	      static inline __attribute__((always_inline))

#define TCX_NEXT       (-1)
#define TCX_DROP       2
#define FIB_SKIP_NEIGH 4u
#define FIB_SRC	       16u
#define F_IPV6	       (1ull << 7)

/* A map is its definition in the section "maps"; the loader puts its descriptor where it is named.
 */
struct map_definition {
	__u32 type, key_size, value_size, max_entries, flags;
};

static void *(*const map_find)(const void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*const map_put)(const void *map, const void *key, const void *value,
			     __u64 flags) = (void *)BPF_FUNC_map_update_elem;
static __u64 (*const coarse_time)(void) = (void *)BPF_FUNC_ktime_get_coarse_ns;
static __u32 (*const random32)(void) = (void *)BPF_FUNC_get_prandom_u32;
static long (*const load_bytes)(const struct __sk_buff *skb, __u32 offset, void *to,
				__u32 len) = (void *)BPF_FUNC_skb_load_bytes;
static long (*const store_bytes)(struct __sk_buff *skb, __u32 offset, const void *from, __u32 len,
				 __u64 flags) = (void *)BPF_FUNC_skb_store_bytes;
static long (*const change_head)(struct __sk_buff *skb, __u32 len,
				 __u64 flags) = (void *)BPF_FUNC_skb_change_head;
static long (*const l3_csum)(struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to,
			     __u64 size) = (void *)BPF_FUNC_l3_csum_replace;
static long (*const l4_csum)(struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to,
			     __u64 flags) = (void *)BPF_FUNC_l4_csum_replace;
static __s64 (*const csum_diff)(const __u32 *from, __u32 from_size, const __u32 *to, __u32 to_size,
				__u32 seed) = (void *)BPF_FUNC_csum_diff;
static long (*const redirect)(__u32 interface, __u64 flags) = (void *)BPF_FUNC_redirect;
static long (*const redirect_peer)(__u32 interface, __u64 flags) = (void *)BPF_FUNC_redirect_peer;
static long (*const redirect_neigh)(__u32 interface, struct bpf_redir_neigh *hop, int size,
				    __u64 flags) = (void *)BPF_FUNC_redirect_neigh;
static long (*const fib_lookup)(void *context, struct bpf_fib_lookup *params, int size,
				__u32 flags) = (void *)BPF_FUNC_fib_lookup;
static struct bpf_sock *(*const find_tcp)(void *context, struct bpf_sock_tuple *tuple, __u32 size,
					  __u64 netns,
					  __u64 flags) = (void *)BPF_FUNC_sk_lookup_tcp;
static struct bpf_sock *(*const find_udp)(void *context, struct bpf_sock_tuple *tuple, __u32 size,
					  __u64 netns,
					  __u64 flags) = (void *)BPF_FUNC_sk_lookup_udp;
static long (*const release)(void *sock) = (void *)BPF_FUNC_sk_release;
