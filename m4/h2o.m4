# h2o.m4: libh2o in a folder of its own, and whether it is the version that this program is written for.

# HAYFORK_H2O_IN(DIR): sets H2O_CFLAGS and H2O_LIBS for the libh2o in DIR. A shared one, H2O_SONAME, is found by its folder
# when the program starts: in H2O_LIBDIR where Hayfork is built, in another one where it is installed. The flags have DIR
# as it was given, so that a name that is relative to where Hayfork is built helps where a folder above has a blank.
AC_DEFUN([HAYFORK_H2O_IN], [
  AS_CASE([$1], [*[[\ \	]]*], [AC_MSG_ERROR([--with-h2o cannot use "$1": compilers would see several words])])
  h2o_dir=`cd $1 2>/dev/null && pwd` || AC_MSG_ERROR([there is no folder $1, which --with-h2o names])
  AS_IF([test ! -e $1/include/h2o.h], [AC_MSG_ERROR([there is no include/h2o.h in $1, which --with-h2o names])])
  # Like the system's: what compilers say of its headers is not about Hayfork.
  H2O_CFLAGS="-isystem $1/include"
  H2O_LIBS=
  for h2o_lib in lib lib64; do
    H2O_LIBDIR=$h2o_dir/$h2o_lib
    AS_IF([test -e $1/$h2o_lib/libh2o-evloop.a],
        [H2O_LIBS=$1/$h2o_lib/libh2o-evloop.a
         break],
      [test -e $1/$h2o_lib/libh2o-evloop.so],
        [H2O_SONAME=`LC_ALL=C readelf -d $1/$h2o_lib/libh2o-evloop.so | sed -n ['s/.*(SONAME).*\[\(.*\)\]$/\1/p']`
         AS_IF([test ! -f "$1/$h2o_lib/$H2O_SONAME"],
           [AC_MSG_ERROR([$1/$h2o_lib/libh2o-evloop.so calls itself "$H2O_SONAME", which is not beside it])])
         H2O_LIBS="-L$1/$h2o_lib -lh2o-evloop -Wl,-rpath,'\$(h2o_rpath)'"
         break])
  done
  AS_IF([test -z "$H2O_LIBS"], [AC_MSG_ERROR([there is no libh2o-evloop in lib of $1, which --with-h2o names])])
  H2O_CONFIGURE="--with-h2o=$h2o_dir"
])

# HAYFORK_CHECK_H2O: fails if libh2o is not 2.2, the last one whose timers are entries of a list for each time.
AC_DEFUN([HAYFORK_CHECK_H2O], [
  AC_MSG_CHECKING([whether libh2o is 2.2])
  h2o_saved_CPPFLAGS=$CPPFLAGS
  h2o_saved_LIBS=$LIBS
  CPPFLAGS="$CPPFLAGS -DH2O_USE_LIBUV=0 $H2O_CFLAGS $SSL_CFLAGS"
  LIBS="${H2O_LIBS% -Wl,-rpath,*} $SSL_LIBS $LIBS"
  AC_LINK_IFELSE(
    [AC_LANG_PROGRAM([[#include <h2o.h>]],
       [[h2o_timeout_t timeout; h2o_timeout_init(h2o_evloop_create(), &timeout, 1000);]])],
    [AC_MSG_RESULT([yes])],
    [AC_MSG_RESULT([no])
     AC_MSG_ERROR([libh2o cannot be used; config.log has the compiler's words. It has to be 2.2, built for its own event
loop: later ones have h2o_timer_* instead of h2o_timeout_*])])
  CPPFLAGS=$h2o_saved_CPPFLAGS
  LIBS=$h2o_saved_LIBS
  AC_SUBST([H2O_LIBDIR])
  AC_SUBST([H2O_SONAME])
  AC_SUBST([H2O_CONFIGURE])
])
