/* What a fake of /dev/vhost-vsock (fake_vhost.c) and the program that it is in have to say to each other. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* Of the program: the device runs its rings from now on, kicked by these descriptors, or no longer. */
void fake_vhost_runs(int on, int receive_kick, int transmit_kick);

/* Carries packets, as far as the rings allow; nothing where the device does not run. */
void fake_vhost_walk(void);
/* The n-th request from now on is refused, counted from 1; 0: none. */
void fake_vhost_refuse(int n);

#ifdef __cplusplus
}
#endif
