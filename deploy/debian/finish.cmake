# What Debian's policy wants of the tree that CPack is about to pack: manual pages and changelogs compressed, without
# the time of it, and each file readable for all, whatever the umask was.
file(GLOB_RECURSE compress "${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*/share/man/*.[0-9]"
     "${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*/changelog.Debian")
if(compress)
    execute_process(COMMAND gzip -9nf ${compress} COMMAND_ERROR_IS_FATAL ANY)
endif()
execute_process(COMMAND chmod -R u=rwX,go=rX ${CPACK_TEMPORARY_INSTALL_DIRECTORY} COMMAND_ERROR_IS_FATAL ANY)
