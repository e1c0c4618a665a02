/* http1_class.c: what a byte of a request or an answer may be part of. */
#include "http/http1_class.h"

#define LETTER     (TOKEN | VALUE | PATH | QUERY | REG_NAME)
#define HEX_LETTER (LETTER | ADDRESS)
#define NUMBER     (HEX_LETTER | DIGIT)
#define MARK       (TOKEN | VALUE | PATH | QUERY | REG_NAME) /* ! $ & ' * + - _ ~ */
#define BROWSER    (VALUE | QUERY)

const unsigned char http1_classes[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = MARK,
    ['"'] = VALUE,
    ['#'] = TOKEN | VALUE,
    ['$'] = MARK,
    ['%'] = MARK | CHECKED,
    ['&'] = MARK,
    ['\''] = MARK,
    ['('] = VALUE | PATH | QUERY | REG_NAME,
    [')'] = VALUE | PATH | QUERY | REG_NAME,
    ['*'] = MARK,
    ['+'] = MARK,
    [','] = VALUE | PATH | QUERY | REG_NAME,
    ['-'] = MARK,
    ['.'] = MARK | ADDRESS | CHECKED,
    ['/'] = VALUE | PATH | QUERY,
    ['0' ... '9'] = NUMBER,
    [':'] = VALUE | PATH | QUERY | ADDRESS,
    [';'] = VALUE | PATH | QUERY | REG_NAME,
    ['<'] = VALUE,
    ['='] = VALUE | PATH | QUERY | REG_NAME,
    ['>'] = VALUE,
    ['?'] = VALUE | QUERY,
    ['@'] = VALUE | PATH | QUERY,
    ['A' ... 'F'] = HEX_LETTER,
    ['G' ... 'Z'] = LETTER,
    ['['] = BROWSER,
    ['\\'] = BROWSER,
    [']'] = BROWSER,
    ['^'] = TOKEN | BROWSER,
    ['_'] = MARK,
    ['`'] = TOKEN | BROWSER,
    ['a' ... 'f'] = HEX_LETTER,
    ['g' ... 'z'] = LETTER,
    ['{'] = BROWSER,
    ['|'] = TOKEN | BROWSER,
    ['}'] = BROWSER,
    ['~'] = MARK,
    [128 ... 255] = VALUE,
};
