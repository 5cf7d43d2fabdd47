#include "blk_request.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace nacre::virtio_blk {
namespace {

class BlkRequestTest : public testing::Test {
 protected:
  // Builds a chain of a header, `out` bytes that the device reads and `in` bytes that it writes, the status included.
  Parsed parse_chain(uint32_t type, uint64_t sector, size_t out, size_t in, size_t header = sizeof(Header)) {
    Header raw{type, 0, sector};
    readable_.assign(header + out, 0);
    if (header) std::memcpy(readable_.data(), &raw, std::min(header, sizeof raw));
    if (segment_ && out >= sizeof *segment_) std::memcpy(readable_.data() + header, segment_, sizeof *segment_);
    writable_.assign(in, 0xee);
    // Cut in the middle of the header: framing means nothing (virtio 1.2 §2.7.4.1).
    size_t cut = readable_.size() / 3;
    iov_[0] = {readable_.data(), cut};
    iov_[1] = {readable_.data() + cut, readable_.size() - cut};
    iov_[2] = {writable_.data(), writable_.size()};
    sdk::DescriptorChain chain;
    chain.head = 9;
    chain.readable = sdk::IoVector(iov_, 2, readable_.size());
    chain.writable = sdk::IoVector(iov_ + 2, in ? 1 : 0, in);
    return parse(request_, chain, disk_);
  }
  int status() const { return writable_.back(); }

  DiskFacts disk_{.capacity = 8 * 512, .discard = true, .write_zeroes = true, .id = "serial"};
  Request request_{};
  const Segment* segment_ = nullptr;
  iovec iov_[3];
  std::vector<uint8_t> readable_, writable_;
};

TEST_F(BlkRequestTest, Read) {
  ASSERT_EQ(parse_chain(kIn, 7, 0, 512 + 1), Parsed::Submit);
  EXPECT_EQ(request_.backend.op, uint32_t{NACRE_BLOCK_READ});
  EXPECT_EQ(request_.backend.offset, 7 * 512u);
  EXPECT_EQ(request_.backend.length, 512u);
  EXPECT_EQ(request_.written, 513u);
  EXPECT_EQ(request_.head, 9);
  EXPECT_EQ(request_.backend.iov[0].iov_base, writable_.data());
}

TEST_F(BlkRequestTest, Write) {
  ASSERT_EQ(parse_chain(kOut, 0, 1024, 1), Parsed::Submit);
  EXPECT_EQ(request_.backend.op, uint32_t{NACRE_BLOCK_WRITE});
  EXPECT_EQ(request_.backend.length, 1024u);
  EXPECT_EQ(request_.backend.iov[request_.backend.n_iov - 1].iov_len +
                (request_.backend.n_iov > 1 ? request_.backend.iov[0].iov_len : 0),
            1024u);
}

TEST_F(BlkRequestTest, RefusesWhatIsOutsideTheDisk) {
  for (uint64_t sector : {8ull, 9ull, ~0ull, ~0ull / 512, 1ull << 55}) {
    ASSERT_EQ(parse_chain(kIn, sector, 0, 513), Parsed::Completed) << sector;
    EXPECT_EQ(status(), kIoErr);
  }
  ASSERT_EQ(parse_chain(kIn, 7, 0, 1025), Parsed::Completed);
  EXPECT_EQ(status(), kIoErr);
}

TEST_F(BlkRequestTest, RefusesOddLengths) {
  for (size_t length : {0u, 1u, 511u, 513u}) {
    ASSERT_EQ(parse_chain(kOut, 0, length, 1), Parsed::Completed) << length;
    EXPECT_EQ(status(), kIoErr);
  }
}

TEST_F(BlkRequestTest, NeedsAHeaderAndAStatusByte) {
  for (size_t header : {0u, 1u, 15u}) EXPECT_EQ(parse_chain(kIn, 0, 0, 513, header), Parsed::Malformed) << header;
  EXPECT_EQ(parse_chain(kOut, 0, 512, 0), Parsed::Malformed);
}

TEST_F(BlkRequestTest, KeepsAReadOnlyDisk) {
  disk_.readonly = true;
  for (uint32_t type : {kOut, kDiscardType, kWriteZeroesType}) {
    ASSERT_EQ(parse_chain(type, 0, 512, 1), Parsed::Completed);
    EXPECT_EQ(status(), kIoErr);
  }
}

TEST_F(BlkRequestTest, GivesItsId) {
  ASSERT_EQ(parse_chain(kGetId, 0, 0, 21), Parsed::Completed);
  EXPECT_EQ(status(), kOk);
  EXPECT_STREQ(reinterpret_cast<const char*>(writable_.data()), "serial");
  EXPECT_EQ(request_.written, 21u);
  ASSERT_EQ(parse_chain(kGetId, 0, 0, 5), Parsed::Completed);
  EXPECT_EQ(request_.written, 5u);
}

TEST_F(BlkRequestTest, DoesNotKnowOtherTypes) {
  for (uint32_t type : {2u, 3u, 5u, 14u, 0x80000000u, ~0u}) {
    ASSERT_EQ(parse_chain(type, 0, 0, 513), Parsed::Completed) << type;
    EXPECT_EQ(status(), kUnsupp);
  }
}

TEST_F(BlkRequestTest, DiscardsAndZeroes) {
  Segment segment{2, 3, 0};
  segment_ = &segment;
  ASSERT_EQ(parse_chain(kDiscardType, 0, 16, 1), Parsed::Submit);
  EXPECT_EQ(request_.backend.offset, 1024u);
  EXPECT_EQ(request_.backend.length, 1536u);
  segment.flags = kSegmentUnmap;
  ASSERT_EQ(parse_chain(kDiscardType, 0, 16, 1), Parsed::Completed);
  EXPECT_EQ(status(), kUnsupp);
  ASSERT_EQ(parse_chain(kWriteZeroesType, 0, 16, 1), Parsed::Submit);
  EXPECT_EQ(request_.backend.flags, uint32_t{NACRE_BLOCK_UNMAP});
  segment.flags = 2;
  ASSERT_EQ(parse_chain(kWriteZeroesType, 0, 16, 1), Parsed::Completed);
  EXPECT_EQ(status(), kUnsupp);
  segment = {7, 2, 0};
  ASSERT_EQ(parse_chain(kDiscardType, 0, 16, 1), Parsed::Completed);
  EXPECT_EQ(status(), kIoErr);
  segment = {~0ull, ~0u, 0};
  ASSERT_EQ(parse_chain(kDiscardType, 0, 16, 1), Parsed::Completed);
  EXPECT_EQ(status(), kIoErr);
  ASSERT_EQ(parse_chain(kDiscardType, 0, 32, 1), Parsed::Completed);
  EXPECT_EQ(status(), kUnsupp);
  disk_.discard = disk_.write_zeroes = false;
  segment = {0, 1, 0};
  ASSERT_EQ(parse_chain(kDiscardType, 0, 16, 1), Parsed::Completed);
  EXPECT_EQ(status(), kUnsupp);
}

}  // namespace
}  // namespace nacre::virtio_blk
