/* Has the fake of /dev/vhost-vsock walk by a thread of its own, as the kernel does: preloaded into the machine under test. */
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake_vhost.h"

static pthread_t g_thread;
static int g_kicks[2], g_end = -1;

static void *serve(void *unused) {
  (void)unused;
  for (;;) {
    struct pollfd fds[] = {{g_kicks[0], POLLIN, 0}, {g_kicks[1], POLLIN, 0}, {g_end, POLLIN, 0}};
    if (poll(fds, 3, -1) < 0) continue;
    if (fds[2].revents) return NULL;
    eventfd_t ignored;
    for (int i = 0; i < 2; ++i)
      if (fds[i].revents) eventfd_read(fds[i].fd, &ignored);
    fake_vhost_walk();
  }
}

void fake_vhost_runs(int on, int receive_kick, int transmit_kick) {
  if (on) {
    g_kicks[0] = receive_kick;
    g_kicks[1] = transmit_kick;
    g_end = eventfd(0, EFD_CLOEXEC);
    pthread_create(&g_thread, NULL, serve, NULL);
    eventfd_write(transmit_kick, 1); /* what was there before */
  } else {
    eventfd_write(g_end, 1);
    pthread_join(g_thread, NULL);
    close(g_end);
  }
}
