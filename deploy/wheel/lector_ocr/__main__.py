from lector_ocr import main

main()
