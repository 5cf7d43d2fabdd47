// StratoVirt's sections of the configuration file, as the options that they stand for. Its releases did not agree on
// all names: each has been in some release's guide.
#include "core/cli/config_file.hpp"

namespace nacre::cli {
namespace {

using enum ConfigKey::As;

constexpr ConfigKey kBootSource[] = {{"kernel_image_path", "kernel"},
                                     {"boot_args", "append"},
                                     {"initrd_image_path", "initrd"},
                                     {"initrd_fs_path", "initrd"}};
constexpr ConfigKey kMachineConfig[] = {{"name", "name"},
                                        {"type", "machine.type"},
                                        {"vcpu_count", "smp.cpus"},
                                        {"max_vcpus", "smp.maxcpus"},
                                        {"mem_size", "m.size", Bytes},
                                        {"omit_vm_memory", "machine.dump-guest-core", Not},
                                        {"dump_guest_core", "machine.dump-guest-core"},
                                        {"mem_share", "machine.mem-share"},
                                        {"mem-share", "machine.mem-share"}};
constexpr ConfigKey kBlock[] = {{"drive_id", "drive.id|device.id|device.drive", Same, true},
                                {"path_on_host", "drive.file", Same, true},
                                {"read_only", "drive.readonly"},
                                {"direct", "drive.direct"},
                                {"aio", "drive.aio"},
                                {"iops", "drive.throttling.iops-total"},
                                {"serial_num", "device.serial"},
                                {"iothread", "device.iothread"}};
constexpr ConfigKey kNet[] = {{"iface_id", "netdev.id|device.id|device.netdev", Same, true},
                              {"host_dev_name", "netdev.ifname"},
                              {"tap_fd", "netdev.fd"},
                              {"tap_fds", "netdev.fds"},
                              {"vhost_type", "netdev.vhost", On, false, "vhost-kernel"},
                              {"vhost", "netdev.vhost"},
                              {"vhost_fd", "netdev.vhostfd"},
                              {"vhost_fds", "netdev.vhostfds"},
                              {"queues", "netdev.queues"},
                              {"mq", "device.mq"},
                              {"queue_size", "device.queue-size"},
                              {"mac", "device.mac"},
                              {"iothread", "device.iothread"}};
constexpr ConfigKey kConsole[] = {{"console_id", "chardev.id|device.id|device.chardev", Same, true},
                                  {"socket_path", "chardev.path", Same, true}};
constexpr ConfigKey kVsock[] = {{"vsock_id", "device.id", Same, true},
                                {"guest_cid", "device.guest-cid", Same, true},
                                {"vhost_fd", "device.vhostfd"}};
constexpr ConfigKey kBalloon[] = {{"balloon_id", "device.id"},
                                  {"deflate_on_oom", "device.deflate-on-oom"},
                                  {"free_page_reporting", "device.free-page-reporting"}};
constexpr ConfigKey kRng[] = {{"rng_id", "object.id|device.rng", Same, true},
                              {"random_file", "object.filename"},
                              {"max_bytes", "device.max-bytes"},
                              {"period", "device.period"}};
constexpr ConfigKey kIothread[] = {{"id", "object.id", Same, true}};

constexpr ConfigSection kSections[] = {
    {"boot-source", false, kBootSource},
    {"machine-config", false, kMachineConfig},
    {"iothread", true, kIothread, "object kind=iothread"},
    {"block", true, kBlock, "drive | device driver=virtio-blk-device", "", "drive"},
    {"net", true, kNet, "netdev kind=tap | device driver=virtio-net-device"},
    {"console", true, kConsole, "chardev kind=socket,server,nowait | device driver=virtconsole",
     "device driver=virtio-serial-device"},
    {"vsock", false, kVsock, "device driver=vhost-vsock-device"},
    {"balloon", false, kBalloon, "device driver=virtio-balloon-device"},
    {"rng", false, kRng, "object kind=rng-random | device driver=virtio-rng-device"},
};

}  // namespace

std::span<const ConfigSection> config_sections() {
  return kSections;
}

}  // namespace nacre::cli
