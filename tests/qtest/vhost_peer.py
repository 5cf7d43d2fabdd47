"""A vhost-user back end that does nothing but answer, and may die or hang at any message.

  vhost_peer.py SOCKET [kill | stop] [MESSAGE]

Listens, serves one front end, and ends with it. With "kill" it kills itself on receiving that message, counted from 1, with
"stop" it stops there for good. Prints the number of each message.
"""

import array
import os
import signal
import socket
import struct
import sys

GET_FEATURES, GET_VRING_BASE, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM = 1, 11, 15, 17
NEED_REPLY, REPLY = 8, 5
FEATURES = 1 << 32 | 1 << 30  # VERSION_1, and that there are features of the protocol
PROTOCOL = 1 << 0 | 1 << 3  # several queues, and an answer to everything


def main():
    path, how, at = sys.argv[1], *(sys.argv[2:] or ("", "0"))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    print("listening", flush=True)
    front, _ = listener.accept()
    kept = []  # descriptors of rings and memory
    number = 0
    while True:
        header, ancillary, _, _ = front.recvmsg(12, socket.CMSG_SPACE(64))
        if not header:
            return
        kept += [array.array("i", data).tolist() for _, _, data in ancillary]
        request, flags, size = struct.unpack("<III", header)
        body = front.recv(size, socket.MSG_WAITALL) if size else b""
        number += 1
        print(number, flush=True)
        if number == int(at):
            os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGSTOP)
        answer = {GET_FEATURES: struct.pack("<Q", FEATURES), GET_PROTOCOL_FEATURES: struct.pack("<Q", PROTOCOL),
                  GET_QUEUE_NUM: struct.pack("<Q", 8), GET_VRING_BASE: body[:4] + struct.pack("<I", 0)}.get(request)
        if answer is None and flags & NEED_REPLY:
            answer = struct.pack("<Q", 0)
        if answer is not None:
            front.sendall(struct.pack("<III", request, REPLY, len(answer)) + answer)


main()
