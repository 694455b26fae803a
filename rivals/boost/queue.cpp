// Boost.Interprocess message_queue, as a rival that speaks the harness's protocol (see partywall-bench, contest.rs).
//
// Both ends poll (try_send, try_receive) where both are awake, which is its fastest; where one sleeps they block.

#include <atomic>
#include <boost/interprocess/ipc/message_queue.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <map>
#include <memory>
#include <sched.h>
#include <sstream>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>
#include <vector>

namespace ipc = boost::interprocess;
using Clock = std::chrono::steady_clock;
using Word = std::atomic<std::uint64_t>;

struct Seat {
    std::string what, contest, place;
    std::size_t size = 0;
    unsigned followers = 0, index = 0;
    std::vector<int> cores;
};

// What is sent: the same numbers as the harness's own payloads.
struct Payloads {
    std::vector<std::vector<unsigned char>> all;
    std::size_t next = 0;

    explicit Payloads(std::size_t size) {
        std::size_t count = size <= 1024 ? 251 : size <= 8192 ? 61 : size <= 65536 ? 7 : 3;
        for (std::uint64_t number = 0; number < count; ++number) {
            std::vector<unsigned char> out(size);
            std::uint64_t word = number + 1, step = 0x9e3779b97f4a7c15ull + (number << 1);
            for (std::size_t at = 0; at < size; at += 8, word += step)
                std::memcpy(&out[at], &word, std::min<std::size_t>(8, size - at));
            all.push_back(out);
        }
    }

    const std::vector<unsigned char> &take() {
        const auto &payload = all[next];
        next = (next + 1) % all.size();
        return payload;
    }
};

struct Meeting {
    char *words;
    const Seat &seat;
    std::uint64_t part = 0;

    explicit Meeting(const Seat &of) : seat(of) {
        std::string path = of.place + "/" + of.contest + ".words";
        std::size_t len = 128 * (2 + of.followers);
        int file = open(path.c_str(), O_RDWR | O_CREAT, 0600);
        if (file < 0 || ftruncate(file, static_cast<off_t>(len)) != 0) throw std::runtime_error("cannot open the words");
        void *mapped = mmap(nullptr, len, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        close(file);
        if (mapped == MAP_FAILED) throw std::runtime_error("cannot map the words");
        words = static_cast<char *>(mapped);
    }

    Word &word(std::size_t at) { return *reinterpret_cast<Word *>(words + at); }

    static void until(Word &word, std::uint64_t value) {
        for (unsigned spins = 1; word.load(std::memory_order_acquire) < value; ++spins)
            if (spins % 16384 == 0) sched_yield();
    }

    void begin() {
        ++part;
        if (seat.index > 0) {
            word(128 * seat.index).store(part, std::memory_order_release);
            until(word(64), part);
            return;
        }
        for (unsigned follower = 1; follower <= seat.followers; ++follower) until(word(128 * follower), part);
        word(64).store(part, std::memory_order_release);
    }

    void end() {
        if (seat.index > 0) {
            word(128 * seat.index + 64).store(part, std::memory_order_release);
            return;
        }
        for (unsigned follower = 1; follower <= seat.followers; ++follower) until(word(128 * follower + 64), part);
    }
};

struct Contest {
    Seat seat;
    Payloads payloads;
    std::vector<unsigned char> buffer;
    std::unique_ptr<ipc::message_queue> there, back;
    bool asleep, answered;
    std::map<std::uint64_t, std::uint64_t> latencies;

    explicit Contest(const Seat &of)
        : seat(of), payloads(of.size), buffer(of.size), asleep(of.what == "wake"), answered(of.what != "stream") {}

    std::string name(const char *way) const {
        std::string run = seat.place.substr(seat.place.rfind('/') + 1);
        return run + "." + seat.contest + "." + way;
    }

    // The leader makes both queues; their names go as soon as both ends have them.
    void open() {
        if (seat.index == 0) {
            there.reset(new ipc::message_queue(ipc::create_only, name("there").c_str(), 1024, seat.size));
            if (answered) back.reset(new ipc::message_queue(ipc::create_only, name("back").c_str(), 1024, seat.size));
            return;
        }
        there.reset(new ipc::message_queue(ipc::open_only, name("there").c_str()));
        if (answered) back.reset(new ipc::message_queue(ipc::open_only, name("back").c_str()));
        ipc::message_queue::remove(name("there").c_str());
        if (answered) ipc::message_queue::remove(name("back").c_str());
    }

    void send(ipc::message_queue &queue, const std::vector<unsigned char> &payload) {
        if (asleep) queue.send(payload.data(), payload.size(), 0);
        else while (!queue.try_send(payload.data(), payload.size(), 0)) {}
    }

    void receive(ipc::message_queue &queue, const std::vector<unsigned char> &expected) {
        ipc::message_queue::size_type got = 0;
        unsigned priority = 0;
        if (asleep) queue.receive(buffer.data(), buffer.size(), got, priority);
        else while (!queue.try_receive(buffer.data(), buffer.size(), got, priority)) {}
        if (got != expected.size() || std::memcmp(buffer.data(), expected.data(), got) != 0)
            throw std::runtime_error("a record holds other bytes than were sent");
    }

    std::uint64_t turn(std::uint64_t amount, bool sampled) {
        for (std::uint64_t number = 0; number < amount; ++number) {
            const auto &payload = payloads.take();
            auto started = Clock::now();
            if (seat.index == 0) {
                send(*there, payload);
                if (answered) receive(*back, payload);
            } else {
                receive(*there, payload);
                if (answered) send(*back, payload);
            }
            if (sampled && seat.index == 0)
                ++latencies[std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - started).count() / 2];
        }
        return answered ? 2 * amount : amount;
    }
};

static void serve(const Seat &seat) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!seat.cores.empty()) {
        std::size_t others = seat.cores.size() - 1;
        int core = seat.index == 0 || others == 0 ? seat.cores[0] : seat.cores[1 + (seat.index - 1) % others];
        cpu_set_t only;
        CPU_ZERO(&only);
        CPU_SET(core, &only);
        if (sched_setaffinity(0, sizeof only, &only) != 0) throw std::runtime_error("cannot bind to a core");
    }
    Meeting meeting(seat);
    Contest contest(seat);
    contest.open();
    std::cout << "up" << std::endl;
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        std::string command;
        std::uint64_t warm = 0, amount = 0, parts = 0;
        words >> command;
        if (command == "meet") {
            std::cout << "met" << std::endl;
        } else if (command == "turn") {
            words >> warm >> amount;
            meeting.begin();
            contest.turn(warm, false);
            meeting.end();
            meeting.begin();
            auto started = Clock::now();
            parts = contest.turn(amount, false);
            meeting.end();
            auto taken = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - started).count();
            std::cout << "turn " << taken << ' ' << parts << std::endl;
        } else if (command == "sample") {
            words >> amount;
            meeting.begin();
            parts = contest.turn(amount, true);
            meeting.end();
            std::cout << "turn 0 " << parts << std::endl;
        } else if (command == "end") {
            std::cout << "end {\"faults\": {\"lost\": 0, \"torn\": 0, \"reordered\": 0}, \"latencies\": [";
            const char *comma = "";
            for (const auto &step : contest.latencies) {
                std::cout << comma << '[' << step.first << ", " << step.second << ']';
                comma = ", ";
            }
            std::cout << "]}" << std::endl;
            break;
        }
    }
}

int main(int count, char **arguments) {
    std::map<std::string, std::string> options;
    for (int at = 2; at + 1 < count; at += 2) options[arguments[at]] = arguments[at + 1];
    if (count > 1 && std::string(arguments[1]) == "list") {
        std::puts("{\"name\": \"boost message_queue\", \"does\": [\"latency\", \"stream\"], \"at_most\": 65536}");
        return 0;
    }
    try {
        Seat seat;
        seat.what = options["--what"];
        seat.contest = options["--contest"];
        seat.place = options["--place"];
        seat.size = std::stoul(options["--size"]);
        seat.followers = static_cast<unsigned>(std::stoul(options["--followers"]));
        seat.index = static_cast<unsigned>(std::stoul(options["--index"]));
        std::istringstream cores(options["--cores"]);
        for (std::string core; std::getline(cores, core, ',');) seat.cores.push_back(std::stoi(core));
        serve(seat);
    } catch (const std::exception &error) {
        std::cout << "failed " << error.what() << std::endl;
        return 1;
    }
}
