// A vsock program for the test guest, linked statically:
//   vsock connect CID PORT TEXT   sends TEXT, prints what comes until the end
//   vsock echo PORT               takes one connection and sends back what comes
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void copy(int from, int to) {
  char data[65536];
  for (;;) {
    ssize_t n = read(from, data, sizeof data);
    if (n < 0) die("read");
    if (n == 0) return;
    for (ssize_t done = 0; done < n;) {
      ssize_t written = write(to, data + done, (size_t)(n - done));
      if (written < 0) die("write");
      done += written;
    }
  }
}

int main(int argc, char **argv) {
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  struct sockaddr_vm address = {.svm_family = AF_VSOCK};
  if (argc == 5 && strcmp(argv[1], "connect") == 0) {
    address.svm_cid = (unsigned)strtoul(argv[2], NULL, 10);
    address.svm_port = (unsigned)strtoul(argv[3], NULL, 10);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
    if (write(fd, argv[4], strlen(argv[4])) < 0) die("write");
    copy(fd, STDOUT_FILENO);
    return 0;
  }
  if (argc == 3 && strcmp(argv[1], "echo") == 0) {
    address.svm_cid = VMADDR_CID_ANY;
    address.svm_port = (unsigned)strtoul(argv[2], NULL, 10);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
    if (listen(fd, 1) < 0) die("listen");
    int connection = accept(fd, NULL, NULL);
    if (connection < 0) die("accept");
    copy(connection, connection);
    return 0;
  }
  fprintf(stderr, "usage: vsock connect CID PORT TEXT | vsock echo PORT\n");
  return 2;
}
