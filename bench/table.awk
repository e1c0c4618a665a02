# table.awk: the results of bench/run as a table, with the ratios A/B where there are two servers.
#
# In: load, path, server, requests, microseconds, p50 and p99 in microseconds, errors, and the CPU time of
# server and PostgreSQL in clock ticks, separated by tabs; a line for each run.

BEGIN {
    FS = "\t"
    columns = split("rate p50 p99 server postgres", column, " ")
    printf "%-8s %-16s %-6s %10s %9s %9s %9s %11s %7s\n",
        "load", "path", "", "requests/s", "p50 ms", "p99 ms", "server us", "postgres us", "errors"
}

{
    row = $1 "\t" $2
    if (!(row in seen)) {
        seen[row] = 1
        rows[++n_rows] = row
    }
    if (!($3 in known)) {
        known[$3] = 1
        servers[++n_servers] = $3
    }
    run = ++runs[row, $3]
    value[row, $3, "rate", run] = $4 * 1000000 / $5
    value[row, $3, "p50", run] = $6 / 1000
    value[row, $3, "p99", run] = $7 / 1000
    value[row, $3, "server", run] = $9 * 1000000 / ticks / $4
    value[row, $3, "postgres", run] = $10 * 1000000 / ticks / $4
    errors[row, $3] += $8
}

function median(row, server, name,    n, i, j, x, list) {
    n = runs[row, server]
    for (i = 1; i <= n; i++) {
        x = value[row, server, name, i]
        for (j = i - 1; j >= 1 && list[j] > x; j--)
            list[j + 1] = list[j]
        list[j + 1] = x
    }
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

END {
    for (r = 1; r <= n_rows; r++) {
        row = rows[r]
        split(row, title, "\t")
        for (s = 1; s <= n_servers; s++) {
            server = servers[s]
            for (c = 1; c <= columns; c++)
                m[s, c] = median(row, server, column[c])
            # Parentheses, as a bare ">" in a print statement is a redirection.
            printf("%-8s %-16s %-6s %10.0f %9.3f %9.3f %9.1f %11s %7d\n",
                title[1], title[2], n_servers > 1 ? server : "", m[s, 1], m[s, 2], m[s, 3], m[s, 4],
                postgres ? sprintf("%.1f", m[s, 5]) : "-", errors[row, server])
            title[1] = title[2] = ""
        }
        if (n_servers == 2) {
            printf "%-8s %-16s %-6s", "", "", "A/B"
            for (c = 1; c <= columns; c++)
                printf(c == 1 ? " %10s" : c == 5 ? " %11s" : " %9s",
                    m[2, c] > 0 ? sprintf("%.2f", m[1, c] / m[2, c]) : "-")
            print ""
        }
    }
}
