// Assignee: tokens of one session never go back, in whatever order its user lets go.
#include <gtest/gtest.h>

#include "core/assignee.h"

namespace parti::core {
namespace {

class AssigneeTest : public testing::Test {
protected:
    AssigneeTest() : env_(Config{}, nullptr, 1, 1) {
        env_.now = Instant{} + std::chrono::hours(1);
        env_.out = &effects_;
        assignee_.begin_session();
    }

    void apply(std::uint64_t version, std::initializer_list<const char*> partitions) {
        AssignmentRecord record;
        record.fence = {{1}, version};
        for (const char* id : partitions) record.partitions.push_back(Partition::from_id(id).value());
        ASSERT_TRUE(assignee_.apply(env_, record));
    }
    std::uint64_t grant_of(const std::string& partition) const {
        for (const auto& holding : assignee_.holdings()) {
            if (holding.partition.id() == partition) return holding.grant;
        }
        return 0;
    }
    std::vector<Fence> granted() const {
        std::vector<Fence> out;
        for (const Effect& effect : effects_) {
            if (const auto* granted = std::get_if<Granted>(&effect)) {
                for (const Grant& grant : granted->grants) out.push_back(grant.fence);
            }
        }
        return out;
    }

    Effects effects_;
    Env env_;
    Assignee assignee_;
};

TEST_F(AssigneeTest, WhatIsGivenBackWhileItDrainsIsOwnedWithATokenThatDoesNotGoBack) {
    apply(1, {"a", "b"});
    const std::uint64_t a = grant_of("a");
    const std::uint64_t b = grant_of("b");
    apply(2, {});
    apply(3, {"a"});  // a comes back first ...
    apply(4, {"a", "b"});
    effects_.clear();
    assignee_.on_release_done(env_, {b});  // ... and b is let go first
    assignee_.on_release_done(env_, {a});
    const std::vector<Fence> expected = {{{1}, 4}, {{1}, 4}};
    EXPECT_EQ(granted(), expected);
    EXPECT_EQ(assignee_.applied(), (Fence{{1}, 4}));
    assignee_.check();
}

TEST_F(AssigneeTest, WhatIsTakenAwayAgainWhileItDrainsIsNotOwned) {
    apply(1, {"a"});
    const std::uint64_t a = grant_of("a");
    apply(2, {});
    apply(3, {"a"});
    apply(4, {});
    effects_.clear();
    assignee_.on_release_done(env_, {a});
    EXPECT_TRUE(granted().empty());
    EXPECT_FALSE(assignee_.holding());
}

}  // namespace
}  // namespace parti::core
