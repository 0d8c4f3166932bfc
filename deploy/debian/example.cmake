# cmake -DPROGRAM=jidpost -DHEAD=head.ini -DOUT=jidpost.ini -P example.cmake: the head, then `jidpost config keys`.
execute_process(COMMAND ${PROGRAM} config keys OUTPUT_VARIABLE keys COMMAND_ERROR_IS_FATAL ANY)
file(READ ${HEAD} head)
file(WRITE ${OUT} "${head}${keys}")
