# What Debian wants of the tree that CPack is about to pack: manual pages and changelogs compressed, without the time of
# it; zsh's completions where Debian's zsh looks for those of packages; each file readable for all, whatever the umask was.
set(share ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share)
file(GLOB compress ${share}/man/man*/*.[0-9] ${share}/doc/jidpost/changelog.Debian)
if(compress)
    execute_process(COMMAND gzip -9nf ${compress} COMMAND_ERROR_IS_FATAL ANY)
endif()
if(EXISTS ${share}/zsh/site-functions)
    file(REMOVE_RECURSE ${share}/zsh/vendor-completions)
    file(RENAME ${share}/zsh/site-functions ${share}/zsh/vendor-completions)
endif()
execute_process(COMMAND chmod -R u=rwX,go=rX ${CPACK_TEMPORARY_INSTALL_DIRECTORY} COMMAND_ERROR_IS_FATAL ANY)
