/*
 * What the host and the guest's init say to each other over a virtio-serial port: frames of a
 * header and at most VM_FRAME_MAX bytes. One port carries one session, a process with its streams:
 * the first port the container's own, the others those of `masu exec`.
 *
 * The guest is hostile to the host: the host takes nothing from a frame but output, a status, and
 * text that it shows.
 */
#pragma once

#include <stdint.h>

#define VM_FRAME_MAX   (32 << 10)
#define VM_EXEC_PORTS  8
#define VM_STATUS_BUSY 255 /* of VM_FAILED: another session has the port */
#define VM_RECORDS_MAX (256 << 10)

enum vm_frame_type {
	/* From the host. */
	VM_RECORD = 1, /* part of what is asked for: a letter and a text, no NUL */
	VM_RUN,	       /* that was all of it: run it */
	VM_INPUT,
	VM_INPUT_END,
	VM_SIGNAL, /* a byte */
	VM_SIZE,   /* of the terminal: rows, columns, two bytes each, little endian */
	VM_BEGIN,  /* records of a process follow; what others have left of theirs is none of it */
	/* From the guest. */
	VM_HELLO = 32, /* on the first port: its init runs */
	VM_STARTED,
	VM_FAILED, /* a byte, the exit status, and why */
	VM_OUTPUT,
	VM_ERRORS,
	VM_EXIT, /* a byte; on the first port one more: whether memory ran out in the guest */
};

/* The letters of records. */
enum vm_record {
	VM_ARG = 'a',
	VM_ENV = 'e',
	VM_CWD = 'd',
	VM_UID = 'u',
	VM_GID = 'g',
	VM_GROUP = 'G',
	VM_CAPS = 'c', /* bounding, effective, permitted, inheritable, ambient: hexadecimal */
	VM_TTY = 't',
	VM_NO_NEW_PRIVILEGES = 'n',
	VM_RLIMIT = 'r', /* number soft hard */
	VM_UMASK = 'k',
	/* On the first port only. */
	VM_HOSTNAME = 'h',
	VM_DOMAINNAME = 'D',
	VM_TMPFS = 'm',	  /* options, a blank, where */
	VM_ADDRESS = 'i', /* address/bits of eth0 */
	VM_GATEWAY = 'w', /* of IPv4 */
	VM_MTU = 'M',
	VM_SYSCTL = 's', /* key=value */
};

struct vm_frame {
	uint32_t len; /* of what follows; little endian, as both ends are */
	uint8_t type, pad[3];
};
