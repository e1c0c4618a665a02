// server.cpp: the routes on Boost.Beast, one event loop for each core, connections to PostgreSQL in each of
// them.
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/src.hpp>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>
#include <vector>

#include "database.hpp"
#include "json.hpp"

namespace http = boost::beast::http;
namespace json = boost::json;
using tcp = asio::ip::tcp;
using request = http::request<http::string_body>;
using response = http::response<http::string_body>;
using client_socket = asio::basic_stream_socket<tcp, executor>;

// The document, cut where the time of the request goes.
struct avatars {
    std::string before, after;

    explicit avatars(const char *file)
    {
        std::ifstream in(file);
        std::stringstream content;
        content << in.rdbuf();
        json::value list = json::parse(content.str());
        list.at(0).as_object()["createdAt"] = "{now}";
        const std::string document = json::serialize(list);
        const std::size_t at = document.find("{now}");
        before = document.substr(0, at);
        after = document.substr(at + 5);
    }

    std::string now() const
    {
        const auto since = std::chrono::system_clock::now().time_since_epoch();
        const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
        const std::time_t seconds = ms / 1000;
        std::tm utc;
        char text[40];
        gmtime_r(&seconds, &utc);
        const std::size_t len = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
        std::snprintf(text + len, sizeof(text) - len, ".%03dZ", static_cast<int>(ms % 1000));
        std::string out;
        out.reserve(before.size() + 24 + after.size());
        return out.append(before).append(text).append(after);
    }
};

class loop {
  public:
    loop(unsigned short port, int n_connections, const avatars &list)
        : context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE), acceptor(context), list(list)
    {
        for (int i = 0; i < n_connections; i++)
            databases.push_back(std::make_unique<database>(context));
        const tcp::endpoint where(asio::ip::address_v4::loopback(), port);
        acceptor.open(where.protocol());
        acceptor.set_option(tcp::acceptor::reuse_address(true));
        acceptor.set_option(asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>(true));
        acceptor.bind(where);
        acceptor.listen(4096);
    }

    void run()
    {
        asio::co_spawn(context, accept(), asio::detached);
        context.run();
    }

  private:
    asio::io_context context;
    asio::basic_socket_acceptor<tcp, executor> acceptor;
    const avatars &list;
    std::vector<std::unique_ptr<database>> databases;
    use_awaitable token;

    database &least_busy()
    {
        return **std::min_element(databases.begin(), databases.end(),
                                  [](const auto &a, const auto &b) { return a->busy() < b->busy(); });
    }

    awaitable<void> accept()
    {
        for (;;) {
            auto [error, client] = co_await acceptor.async_accept(context, asio::as_tuple(token));
            if (!error)
                asio::co_spawn(context, serve(std::move(client)), asio::detached);
        }
    }

    awaitable<void> serve(client_socket client)
    {
        boost::beast::flat_buffer buffer;
        client.set_option(tcp::no_delay(true));
        for (bool more = true; more;) {
            request question;
            auto [error, got] = co_await http::async_read(client, buffer, question, asio::as_tuple(token));
            if (error)
                break;
            response reply{http::status::ok, question.version()};
            reply.set(http::field::content_type, "application/json");
            co_await answer(question, reply);
            reply.keep_alive(more = question.keep_alive());
            reply.prepare_payload();
            auto [broken, sent] = co_await http::async_write(client, reply, asio::as_tuple(token));
            more = more && !broken;
        }
    }

    awaitable<void> answer(const request &question, response &reply)
    {
        const std::string_view path(question.target().data(), question.target().size());
        const bool get = question.method() == http::verb::get;
        constexpr std::string_view one = "/contacts/";
        if (get && path == "/v1/avatar")
            reply.body() = list.now();
        else if (get && path == "/contacts")
            co_await all(reply);
        else if (path.starts_with(one) && (get || question.method() == http::verb::put))
            co_await contact(path.substr(one.size()), get ? nullptr : &question.body(), reply);
        else
            fail(reply, http::status::not_found, "no such path");
    }

    awaitable<void> all(response &reply)
    {
        const result rows = co_await least_busy().run("all", 0, nullptr);
        if (PQresultStatus(rows.get()) != PGRES_TUPLES_OK)
            co_return fail(reply, http::status::internal_server_error, "internal");
        const int n = PQntuples(rows.get());
        std::string &out = reply.body();
        out.reserve(2 + 128 * static_cast<std::size_t>(n));
        out += '[';
        for (int row = 0; row < n; row++) {
            if (row > 0)
                out += ',';
            append_contact(out, rows.get(), row);
        }
        out += ']';
    }

    // Reads a contact or, where there is a body, writes its telephone number.
    awaitable<void> contact(std::string_view text, const std::string *body, response &reply)
    {
        int number = 0;
        const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (wrong != std::errc() || end != text.data() + text.size())
            co_return fail(reply, http::status::not_found, "no such contact");
        const std::string id(text);
        json::value change;
        const char *values[] = {id.c_str(), nullptr};
        if (body != nullptr) {
            boost::system::error_code error;
            change = json::parse(*body, error);
            const json::object *object = change.if_object();
            const json::value *phone = object == nullptr ? nullptr : object->if_contains("phone");
            if (error || phone == nullptr || !phone->is_string())
                co_return fail(reply, http::status::bad_request, "a phone is wanted");
            values[1] = phone->get_string().c_str();
        }
        const bool read = body == nullptr;
        const result rows = co_await least_busy().run(read ? "one" : "update", read ? 1 : 2, values);
        if (PQresultStatus(rows.get()) != PGRES_TUPLES_OK)
            fail(reply, http::status::internal_server_error, "internal");
        else if (PQntuples(rows.get()) == 0)
            fail(reply, http::status::not_found, "no such contact");
        else
            append_contact(reply.body(), rows.get(), 0);
    }

    static void fail(response &reply, http::status status, std::string_view message)
    {
        reply.result(status);
        reply.body().append(R"({"error":")").append(message).append(R"("})");
    }
};

static int number(const char *name)
{
    const char *value = std::getenv(name);
    return value == nullptr ? 0 : std::atoi(value);
}

int main()
try {
    const avatars list(std::getenv("AVATAR"));
    const int cores = number("CORES"), pool = number("POOL");
    std::vector<std::unique_ptr<loop>> loops;
    std::vector<std::jthread> threads;
    for (int i = 0; i < cores; i++) {
        const int share = std::max(1, pool / cores + (i < pool % cores));
        loops.push_back(std::make_unique<loop>(static_cast<unsigned short>(number("PORT")), share, list));
    }
    for (auto &each : loops)
        threads.emplace_back([&each] { each->run(); });
} catch (const std::exception &failure) {
    std::cerr << failure.what() << '\n';
    return 1;
}
