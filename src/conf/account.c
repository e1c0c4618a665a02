/* account.c: `user` and `group`: who the workers run as. */
#include "conf/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Reads a number as uid_t or gid_t, of which the last one means "unchanged" to the kernel. */
static bool read_number(const char *text, unsigned *number)
{
    unsigned long value = 0;
    if (text[strspn(text, "0123456789")] != '\0' || strlen(text) > 10)
        return false;
    value = strtoul(text, NULL, 10);
    *number = (unsigned)value;
    return value < (unsigned)-1;
}

static bool is_number(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static void note(struct conf *conf, const struct conf_yaml *root, const char *key, char *problem)
{
    const struct conf_yaml *node = conf_yaml_get(root, key);
    struct conf_pos whole = {root->pos.file, 0, 0};
    conf_files_error(conf->files, node == NULL ? whole : node->pos, "%s", problem);
    free(problem);
}

/* "there is no KIND "NAME" on this machine", or why that could not be found out. */
static char *say_unknown(const char *kind, const char *name, int error)
{
    bool absent = error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
    if (absent)
        return mem_printf("there is no %s \"%.*s\" on this machine", kind, CONF_FILES_QUOTE(name));
    return mem_printf("the %s \"%.*s\" cannot be looked up: %s", kind, CONF_FILES_QUOTE(name),
                      strerror(error));
}

/* Sets the user's part of the account. Returns NULL, or what is wrong, to be freed. */
static char *find_user(const char *text, struct conf_account *account)
{
    unsigned number = 0;
    if (is_number(text) && !read_number(text, &number))
        return mem_printf("user takes a name or a number up to %u", (unsigned)-2);
    errno = 0;
    const struct passwd *entry = is_number(text) ? getpwuid(number) : getpwnam(text);
    if (entry == NULL && !is_number(text))
        return say_unknown("user", text, errno);
    account->named = true;
    account->uid = entry == NULL ? number : entry->pw_uid;
    account->gid = entry == NULL ? (gid_t)-1 : entry->pw_gid;
    account->name = entry == NULL ? NULL : mem_strdup(entry->pw_name);
    account->home = mem_strdup(entry == NULL || entry->pw_dir[0] == '\0' ? "/" : entry->pw_dir);
    return NULL;
}

char *conf_account_find_user(const char *text, uid_t *uid)
{
    struct conf_account account = {0};
    char *problem = find_user(text, &account);
    *uid = account.uid;
    free(account.name);
    free(account.home);
    return problem;
}

char *conf_account_find_group(const char *text, gid_t *gid)
{
    unsigned number = 0;
    if (is_number(text) && !read_number(text, &number))
        return mem_printf("group takes a name or a number up to %u", (unsigned)-2);
    errno = 0;
    const struct group *entry = is_number(text) ? NULL : getgrnam(text);
    if (entry == NULL && !is_number(text))
        return say_unknown("group", text, errno);
    *gid = entry == NULL ? number : entry->gr_gid;
    return NULL;
}

/* All groups that the user is in, as initgroups(3) would have them. */
static void find_groups(struct conf_account *account)
{
    int room = 0, n = account->name == NULL ? 1 : 16;
    while (n > room) {
        room = n;
        account->groups = mem_realloc(account->groups, (size_t)room * sizeof(*account->groups));
        if (account->name == NULL)
            account->groups[0] = account->gid;
        else
            getgrouplist(account->name, account->gid, account->groups, &n); /* n is how many there are */
    }
    account->n_groups = (size_t)n;
}

void conf_account_read(struct conf *conf, const struct conf_yaml *root)
{
    struct conf_account *account = &conf->account;
    bool has_user = conf->user[0] != '\0', has_group = conf->group[0] != '\0';
    char *problem = has_user ? find_user(conf->user, account) : NULL;
    if (problem != NULL)
        note(conf, root, "user", problem);
    problem = has_group ? conf_account_find_group(conf->group, &account->gid) : NULL;
    if (problem != NULL)
        note(conf, root, "group", problem);
    else if (has_group && !has_user)
        note(conf, root, "group", mem_strdup("group goes with user: say who the workers run as, too"));
    else if (account->named && account->gid == (gid_t)-1)
        note(conf, root, "user",
             mem_printf("no user has the number %s: say which group the workers run as, too", conf->user));
    if (account->named)
        find_groups(account);
}

void conf_account_free(struct conf *conf)
{
    free(conf->account.groups);
    free(conf->account.name);
    free(conf->account.home);
}
