// OverheadTest: what one more of something costs: a line through launches of several sizes, with its uncertainty.
//
// Model     A point is one launch. Launches that IsolatedParti has made in the same run, with the same window, count too. The
//           cost is the Theil-Sen slope over all points with its 95 % interval; intercept and largest residual say how well a
//           line fits. A round's slope (one launch of every size) is one observation for the comparison with the baseline.
// Units     Sizes in workers or partitions, memory in bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launch_test.h"
#include "testutil/trend.h"

namespace parti::stress {

class OverheadTest : public LaunchTest {
protected:
    struct Size {
        std::uint32_t workers = 0, partitions = 0;
        double x = 0;
    };
    // Measures what no earlier test of this run has, in shuffled rounds. False: it failed.
    bool measure(std::vector<Size> sizes, std::uint64_t rounds, double seconds_each);
    // Records and prints "<metric>_per_<what>" of anonymous memory and live heap; for the report also the lines.
    void conclude(const std::string& what);
    const report::Line& anonymous_line() const { return anonymous_line_; }
    const report::Line& live_line() const { return live_line_; }

private:
    struct Point {
        double x = 0, anonymous = 0, live = 0;
    };
    std::vector<Point> reused(const Size& size) const;
    report::Line fit(const std::string& metric, const std::string& what, double Point::*value);

    std::optional<test::ThreadNames> threads_;
    std::vector<std::vector<Point>> rounds_;
    std::vector<Point> all_;
    report::Line anonymous_line_, live_line_;
};

}  // namespace parti::stress
