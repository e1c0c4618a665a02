// database.hpp: one connection to PostgreSQL in libpq's pipeline mode, for coroutines of one thread.
#pragma once

#include <boost/asio.hpp>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <libpq-fe.h>
#include <memory>
#include <stdexcept>
#include <unistd.h>

namespace asio = boost::asio;

using executor = asio::io_context::executor_type;
using use_awaitable = asio::use_awaitable_t<executor>;
template <typename T> using awaitable = asio::awaitable<T, executor>;

struct result_clear {
    void operator()(PGresult *result) const
    {
        PQclear(result);
    }
};
using result = std::unique_ptr<PGresult, result_clear>;

class database {
  public:
    explicit database(asio::io_context &context)
        : connection(connect()), descriptor(context, dup(PQsocket(connection)))
    {
        prepare("one", "SELECT id, firstname, lastname, phone, email FROM contact WHERE id = $1");
        prepare("all", "SELECT id, firstname, lastname, phone, email FROM contact ORDER BY id");
        prepare("update", "UPDATE contact SET phone = $2 WHERE id = $1 "
                          "RETURNING id, firstname, lastname, phone, email");
        PQsetnonblocking(connection, 1);
        PQenterPipelineMode(connection);
        asio::co_spawn(context, read(), asio::detached);
    }

    // How many queries wait for their answer.
    std::size_t busy() const
    {
        return waiting.size();
    }

    // The result of a prepared statement, whatever its status; each is a transaction of its own.
    awaitable<result> run(const char *statement, int n_values, const char *const *values)
    {
        if (!PQsendQueryPrepared(connection, statement, n_values, values, nullptr, nullptr, 0) ||
            !PQpipelineSync(connection))
            throw std::runtime_error(PQerrorMessage(connection));
        if (PQflush(connection) > 0 && !flushing)
            asio::co_spawn(descriptor.get_executor(), flush(), asio::detached);
        co_return co_await asio::async_initiate<use_awaitable, void(result)>(
            [this](handler whom) { waiting.push_back(std::move(whom)); }, token);
    }

  private:
    using handler = asio::async_result<use_awaitable, void(result)>::handler_type;

    PGconn *connection;
    asio::posix::basic_stream_descriptor<executor> descriptor;
    std::deque<handler> waiting;
    result last; // of the query in front
    bool flushing = false;
    use_awaitable token;

    // The environment says where PostgreSQL is.
    static PGconn *connect()
    {
        PGconn *made = PQconnectdb("");
        if (PQstatus(made) != CONNECTION_OK)
            throw std::runtime_error(PQerrorMessage(made));
        return made;
    }

    void prepare(const char *name, const char *sql)
    {
        result done{PQprepare(connection, name, sql, 0, nullptr)};
        if (PQresultStatus(done.get()) != PGRES_COMMAND_OK)
            throw std::runtime_error(PQerrorMessage(connection));
    }

    // While it cannot write, libpq reads: what it got then is not announced by the socket any more.
    awaitable<void> flush()
    {
        flushing = true;
        while (PQflush(connection) > 0) {
            deliver();
            co_await descriptor.async_wait(descriptor.wait_write, token);
        }
        flushing = false;
        deliver();
    }

    awaitable<void> read()
    {
        for (;;) {
            co_await descriptor.async_wait(descriptor.wait_read, token);
            if (!PQconsumeInput(connection)) {
                std::fputs(PQerrorMessage(connection), stderr);
                std::exit(1);
            }
            deliver();
        }
    }

    // A query's results are its own, an end of results, and the mark of its Sync.
    void deliver()
    {
        while (!waiting.empty() && !PQisBusy(connection)) {
            result next{PQgetResult(connection)};
            if (!next)
                continue;
            if (PQresultStatus(next.get()) != PGRES_PIPELINE_SYNC) {
                last = std::move(next);
                continue;
            }
            handler whom = std::move(waiting.front());
            waiting.pop_front();
            std::move(whom)(std::move(last));
        }
    }
};
