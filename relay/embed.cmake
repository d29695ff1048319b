# Turns IN into a C file OUT that holds its bytes as `const char NAME[]`, NUL-terminated.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${hex}")
string(REGEX REPLACE "('[^,]*','[^,]*','[^,]*','[^,]*',)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "#include \"relay/embed.h\"\nconst char ${NAME}[] = {\n${bytes}0};\n")
