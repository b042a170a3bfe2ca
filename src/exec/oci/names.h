/* Files below a container's oci_dir. */
#pragma once

#define OCI_LOG	    "log"     /* of the runtime, JSON lines */
#define OCI_PID	    "pid"     /* of the container's init */
#define OCI_STATE   "state"   /* the runtime's own --root */
#define OCI_CONSOLE "console" /* socket that gets the terminal */
