// json.hpp: contacts and avatars as JSON.
#pragma once

#include <libpq-fe.h>
#include <string>
#include <string_view>

inline void append_string(std::string &out, std::string_view text)
{
    static constexpr char hex[] = "0123456789abcdef";
    out += '"';
    for (std::size_t from = 0;;) {
        std::size_t at = from;
        while (at < text.size() && text[at] != '"' && text[at] != '\\' &&
               static_cast<unsigned char>(text[at]) >= 0x20)
            at++;
        out.append(text, from, at - from);
        if (at == text.size())
            break;
        const char c = text[at];
        if (c == '"' || c == '\\')
            out.append({'\\', c});
        else
            out.append({'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]});
        from = at + 1;
    }
    out += '"';
}

// The columns are id, firstname, lastname, phone, email.
inline void append_contact(std::string &out, const PGresult *rows, int row)
{
    static constexpr std::string_view keys[] = {R"({"id":)", R"(,"firstname":)", R"(,"lastname":)",
                                                R"(,"phone":)", R"(,"email":)"};
    for (int column = 0; column < 5; column++) {
        out += keys[column];
        const std::string_view value(PQgetvalue(rows, row, column), PQgetlength(rows, row, column));
        if (PQgetisnull(rows, row, column))
            out += "null";
        else if (column == 0)
            out += value;
        else
            append_string(out, value);
    }
    out += '}';
}
