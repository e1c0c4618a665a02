/* privileges.c: what the master and the workers are allowed to do. */
#include "process/privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#define BIT(capability) (UINT64_C(1) << (capability))

static const uint64_t master_capabilities =
    BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_CHOWN) | BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_KILL);

/* Leaves the process with those capabilities that it has among these. */
static void keep_capabilities(uint64_t kept)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* else it keeps the inheritable ones alive */
    if (syscall(SYS_capget, &header, data) != 0)
        log_fatal("cannot tell which capabilities there are");
    bool any = false; /* where there are none to give up, a system call filter may not even let us say so */
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        struct __user_cap_data_struct had = data[i];
        data[i].permitted &= (uint32_t)(kept >> (32 * i));
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
        any = any || memcmp(&had, &data[i], sizeof(had)) != 0;
    }
    if (any && syscall(SYS_capset, &header, data) != 0)
        log_fatal("cannot give up capabilities");
}

/* Others than these cannot come back by executing a program. It takes CAP_SETPCAP, which root has at first.
 */
static void bound_capabilities(uint64_t kept)
{
    for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
        if (i >= 64 || (kept & BIT(i)) == 0)
            prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    }
}

void privileges_protect_memory(const struct conf *conf)
{
    struct rlimit limit;
    if (prctl(PR_SET_DUMPABLE, conf->core == CONF_ON, 0, 0, 0) != 0)
        log_warn("cannot say whether there may be a core file");
    if (conf->core == CONF_ON && getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_CORE, &limit);
    }
}

static void warn_of_account(const struct conf *conf)
{
    if (geteuid() == 0 && !conf->account.named)
        log_warnx("the workers run as root: name another user by `user` in the conf");
    else if (geteuid() != 0 && conf->account.named && conf->account.uid != geteuid())
        log_warnx(
            "the workers run as the user that has started the server: only root can make them run as %s",
            conf->user);
}

void privileges_limit_master(const struct conf *conf)
{
    warn_of_account(conf);
    bound_capabilities(master_capabilities);
    keep_capabilities(master_capabilities);
    privileges_protect_memory(conf);
}

static void set_variable(const char *name, const char *value)
{
    if (value == NULL)
        unsetenv(name);
    else
        setenv(name, value, 1);
}

/* libpq looks for ~/.pgpass by HOME, and takes the user's name where the conninfo has none. */
static void become(const struct conf *conf)
{
    const struct conf_account *account = &conf->account;
    if (setgroups(account->n_groups, account->groups) != 0 ||
        setresgid(account->gid, account->gid, account->gid) != 0 ||
        setresuid(account->uid, account->uid, account->uid) != 0)
        log_fatal("cannot become user %s", conf->user);
    set_variable("HOME", account->home);
    set_variable("USER", account->name);
    set_variable("LOGNAME", account->name);
}

void privileges_give_up(const struct conf *conf)
{
    if (geteuid() == 0 && conf->account.named)
        become(conf);
    keep_capabilities(0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        log_fatal("cannot give up new privileges");
    privileges_protect_memory(
        conf); /* a change of user has set that to what the sysctl fs.suid_dumpable says */
}
