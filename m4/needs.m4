# HAYFORK_NEEDS(PREFIX, MODULES, PACKAGE, [NOTE])
# PKG_CHECK_MODULES, but what is missing is kept, with the Debian package that has it, for HAYFORK_NEEDS_END. NOTE is
# how it comes where a Debian does not have that package.
AC_DEFUN([HAYFORK_NEEDS], [
PKG_CHECK_MODULES([$1], [$2], [],
  [hayfork_missing="$hayfork_missing
  $2 (Debian: $3)m4_ifval([$4], [
    $4])"
  m4_ifval([$4], [:], [hayfork_packages="$hayfork_packages $3"])])
])

# Ends configure if anything is missing, and says all of it.
AC_DEFUN([HAYFORK_NEEDS_END], [
AS_IF([test -z "$PKG_CONFIG"], [AC_MSG_ERROR([pkg-config is missing, by which libraries are found (Debian: pkg-config)])])
AS_IF([test -n "$hayfork_packages"],
  [hayfork_missing="$hayfork_missing

apt install$hayfork_packages"])
AS_IF([test -n "$hayfork_missing"], [AC_MSG_ERROR([missing libraries:
$hayfork_missing
])])
])
