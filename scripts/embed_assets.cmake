# Turns files into a table of C that carries them as they are, each with a tag of its content and a gzipped copy:
#   cmake -DROOT=folder -DFILES=page/a.js,page/b.css -DOUT=assets.c -DPACKED=folder -P embed_assets.cmake
# The bytes come by the assembler: a string of C would have to be read, and 2 MB of it take the compiler a minute.
string(REPLACE "," ";" files "${FILES}")
set(ENV{SOURCE_DATE_EPOCH} 0) # no time in what gzip writes: the same files, the same program
set(text "#include \"api/assets.h\"\n\n#define CARRY(name, path)                                          \\\n")
string(APPEND text "    __asm__(\".section .rodata\\n.global \" #name \"\\n.global \" #name \"_end\\n\" #name \":\\n\"  \\\n"
                   "            \".incbin \\\"\" path \"\\\"\\n\" #name \"_end:\\n.byte 0\\n.previous\\n\");          \\\n"
                   "    extern const unsigned char name[], name##_end[]\n\n")
set(rows "")
set(n 0)
foreach(file ${files})
    file(SHA256 ${ROOT}/${file} tag)
    string(SUBSTRING ${tag} 0 32 tag)
    file(MAKE_DIRECTORY ${PACKED})
    file(ARCHIVE_CREATE OUTPUT ${PACKED}/${n}.gz PATHS ${ROOT}/${file} FORMAT raw COMPRESSION GZip COMPRESSION_LEVEL 9)
    string(APPEND text "CARRY(asset_${n}, \"${ROOT}/${file}\");\nCARRY(asset_${n}_gz, \"${PACKED}/${n}.gz\");\n")
    string(APPEND rows "    {\"${file}\", \"${tag}\", asset_${n}, asset_${n}_end, asset_${n}_gz, asset_${n}_gz_end},\n")
    math(EXPR n "${n} + 1")
endforeach()
file(WRITE ${OUT} "${text}\nconst struct asset embedded_assets[] = {\n${rows}    {0},\n};\n")
