/*
 * The part of EROFS' on-disk format that masu writes (Linux, Documentation/filesystems/erofs.rst):
 * extended inodes, inline extended attributes, directories and long symlinks as plain blocks or
 * inline, and files as chunks of an extra device, which is the layer's uncompressed tar. All
 * numbers are little-endian.
 *
 * The block size is tar's, so that every file of a tar begins at a block of its own.
 */
#pragma once

#include <stdint.h>

#define EROFS_BLOCK_BITS 9
#define EROFS_BLOCK	 (1u << EROFS_BLOCK_BITS)

#define EROFS_SUPER_OFFSET  1024
#define EROFS_DEVICE_OFFSET 1152 /* behind the superblock; a multiple of its own size */
#define EROFS_META_BLOCK    3	 /* where the inodes begin */
#define EROFS_MAGIC	    0xE0F5E1E2u

#define EROFS_COMPAT_MTIME     0x2u
#define EROFS_INCOMPAT_CHUNKED 0x4u
#define EROFS_INCOMPAT_DEVICES 0x8u
#define EROFS_INODES_LIMIT     (4ull << 30) /* bytes of inodes with what is behind them */
#define EROFS_SLOT	       32u /* an inode's number counts these from the first inode */

struct erofs_super {
	uint32_t magic, checksum, compat;
	uint8_t block_bits, extra_slots;
	uint16_t root;
	uint64_t inodes, build_time;
	uint32_t build_time_ns, blocks, meta_block, xattr_block;
	uint8_t uuid[16], volume[16];
	uint32_t incompat;
	uint16_t algorithms, devices, device_slot;
	uint8_t directory_bits, prefix_count;
	uint32_t prefix_start;
	uint64_t packed_inode;
	uint8_t reserved[24];
} __attribute__((packed));
_Static_assert(sizeof(struct erofs_super) == 128, "superblock");

struct erofs_device {
	uint8_t tag[64];
	uint32_t blocks, mapped_block;
	uint8_t reserved[56];
} __attribute__((packed));
_Static_assert(sizeof(struct erofs_device) == 128, "device slot");

/* Bit 0: extended; bits 1-3: how the data lies. */
#define EROFS_EXTENDED	   1u
#define EROFS_PLAIN	   (EROFS_EXTENDED | 0u << 1) /* blocks from data on */
#define EROFS_INLINE	   (EROFS_EXTENDED | 2u << 1) /* all of it behind the inode */
#define EROFS_CHUNKED	   (EROFS_EXTENDED | 4u << 1) /* struct erofs_chunk for each chunk */
#define EROFS_CHUNK_BITS   0x1fu /* of data: chunk size in blocks, as a shift */
#define EROFS_CHUNK_TABLE  0x20u /* of data: struct erofs_chunk, not numbers */
#define EROFS_CHUNK_HOLE   UINT32_MAX
#define EROFS_CHUNK_DEVICE 1u /* the tar; 0 is the index itself */

struct erofs_inode {
	uint16_t format, xattr_words, mode, reserved;
	uint64_t size;
	uint32_t data; /* block, device number or chunk format */
	uint32_t ino, uid, gid;
	int64_t mtime;
	uint32_t mtime_ns, links;
	uint8_t reserved2[16];
} __attribute__((packed));
_Static_assert(sizeof(struct erofs_inode) == 64, "inode");

struct erofs_chunk {
	uint16_t advise, device;
	uint32_t block;
} __attribute__((packed));

/* Behind the inode where xattr_words is not 0: this, then entries up to (xattr_words - 1) * 4. */
struct erofs_xattr_header {
	uint32_t filter;
	uint8_t shared, reserved[7];
} __attribute__((packed));

#define EROFS_XATTR_USER	1u
#define EROFS_XATTR_ACL_ACCESS	2u
#define EROFS_XATTR_ACL_DEFAULT 3u
#define EROFS_XATTR_TRUSTED	4u
#define EROFS_XATTR_SECURITY	6u

/* Name and value follow, then up to the next multiple of 4. */
struct erofs_xattr {
	uint8_t name_len, prefix;
	uint16_t value_len;
} __attribute__((packed));

/* A block of a directory: these, then their names; the first one's offset tells how many. */
struct erofs_dirent {
	uint64_t inode;
	uint16_t name_offset;
	uint8_t type, reserved;
} __attribute__((packed));

enum erofs_type {
	EROFS_REGULAR = 1,
	EROFS_DIRECTORY,
	EROFS_CHARACTER,
	EROFS_BLOCK_DEVICE,
	EROFS_FIFO,
	EROFS_SOCKET,
	EROFS_SYMLINK
};
