# Policy 12.1, 12.7: man pages and changelogs are compressed, always to the same bytes.
file(GLOB pages ${CPACK_TEMPORARY_DIRECTORY}/*/usr/share/man/*/*.[1-9]
	${CPACK_TEMPORARY_DIRECTORY}/*/usr/share/doc/*/changelog*)
foreach(page ${pages})
	execute_process(COMMAND gzip -9nf ${page} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
